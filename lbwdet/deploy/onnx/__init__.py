"""Programs as ONNX models for other engines; needs the extra ``engines``."""
