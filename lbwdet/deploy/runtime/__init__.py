"""Runs artifacts with numpy alone: neither torch nor mmdet is imported here."""

from lbwdet.deploy.runtime.detector import DetectionResult, Detector

__all__ = ["DetectionResult", "Detector"]
