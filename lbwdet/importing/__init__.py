"""Published detectors into MMDetection's names."""

import lbwdet.compat  # noqa: F401  (mmdet imports mmcv.ops)
