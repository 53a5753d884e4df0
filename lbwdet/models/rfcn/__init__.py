"""R-FCN (arXiv 1605.06409): a detector whose region head is convolution and pooling alone."""

from lbwdet.models.rfcn.bbox_head import LBWRFCNHead, RFCNHead
from lbwdet.models.rfcn.roi_extractor import PSRoIExtractor
from lbwdet.models.rfcn.roi_head import RFCNRoIHead
from lbwdet.models.rfcn.rpn_head import FirstLevelsRPNHead

__all__ = ["FirstLevelsRPNHead", "LBWRFCNHead", "PSRoIExtractor", "RFCNHead", "RFCNRoIHead"]
