"""Measuring detectors: accuracy, size and speed, alone and side by side.

The names below are loaded on first use, so that ``--help`` need not wait for MMDetection.
"""

import importlib
from typing import Any

import lbwdet.compat  # noqa: F401  (first: mmdet imports mmcv.ops)

_HOME = dict(
    Accuracy="accuracy",
    Candidate="candidates",
    Detections="candidates",
    Latency="speed",
    ModelSpec="specs",
    TorchCandidate="candidates",
    build_detector="detectors",
    compare="comparison",
    detect_all="accuracy",
    evaluate="accuracy",
    load_test_set="testset",
    measure="speed",
    weight_size="size",
)

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
