"""Detectors and their parts, registered in MMDetection."""

import lbwdet.compat  # noqa: F401  (mmdet.models imports mmcv.ops)
from lbwdet.checkpoint_file import close_other_doors
from lbwdet.models.detector import LBWDetector
from lbwdet.models.detector_parts import LBWFPN, LBWResNet, LBWRPNHead, LBWShared2FCBBoxHead
from lbwdet.models.efficientnet_lite import EfficientNetLite0
from lbwdet.models.rfcn import (
    FirstLevelsRPNHead,
    LBWRFCNHead,
    PSRoIExtractor,
    RFCNHead,
    RFCNRoIHead,
)

__all__ = [
    "LBWFPN",
    "EfficientNetLite0",
    "FirstLevelsRPNHead",
    "LBWDetector",
    "LBWRFCNHead",
    "LBWRPNHead",
    "LBWResNet",
    "LBWShared2FCBBoxHead",
    "PSRoIExtractor",
    "RFCNHead",
    "RFCNRoIHead",
]

close_other_doors()  # of a process that is MMDetection's own: init_detector with such a config
