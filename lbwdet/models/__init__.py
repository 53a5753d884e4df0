"""Detector parts registered in MMDetection."""

import lbwdet.compat  # noqa: F401  (mmdet.models imports mmcv.ops)
from lbwdet.models.detector_parts import LBWFPN, LBWResNet, LBWRPNHead, LBWShared2FCBBoxHead

__all__ = ["LBWFPN", "LBWRPNHead", "LBWResNet", "LBWShared2FCBBoxHead"]
