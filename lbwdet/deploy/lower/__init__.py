"""From an MMDetection detector to a program: trace, fuse, read the heads.

``lower`` is the one entry. The dense parts go through a general tensor graph
(:mod:`.trace`, :mod:`.fuse`); what a detector does around them (anchors, box coding,
suppression) is read from its modules (:mod:`.two_stage`), with one file for each kind of
region head (:mod:`.faster_rcnn`, :mod:`.rfcn`).
"""

import lbwdet.compat  # noqa: F401  (mmdet.models imports mmcv.ops)

# isort: split
from lbwdet.deploy.lower.two_stage import Lowered, lower

__all__ = ["Lowered", "lower"]
