"""ATSS and DDOD: anchors, and a centerness (overlap) that scores are multiplied by."""

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.anchors import Anchors


@head("ATSSHead", ("ATSS", "SingleStageDetector"))
class ATSS(Anchors):
    """Scores, deltas and centerness of every level."""

    has_factors = True


@head("DDODHead", ("DDOD", "SingleStageDetector"))
class DDOD(Anchors):
    """Scores, deltas and overlap of every level."""

    has_factors = True
