from tests.tiny_detectors import tiny, voc_root  # noqa: F401  (fixtures)
