"""Low-bit-width detectors for MMDetection."""

__version__ = "0.1.0"
