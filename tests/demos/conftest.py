from tests.tiny_detectors import artifact, tiny, voc_root  # noqa: F401  (fixtures)
