from tests.tiny_detectors import float_detector, tiny, voc_root  # noqa: F401  (fixtures)
