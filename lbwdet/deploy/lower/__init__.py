"""From an MMDetection detector to a program: trace, fuse, read the heads.

``lower`` is the one entry. The dense parts go through a general tensor graph
(:mod:`.trace`, :mod:`.fuse`); what a detector does around them (anchors, box coding,
suppression) is read from its modules, one file per kind of detector (:mod:`.two_stage`).
"""

import lbwdet.compat  # noqa: F401  (mmdet.models imports mmcv.ops)

# isort: split
from lbwdet.deploy.lower.two_stage import Lowered, lower

__all__ = ["Lowered", "lower"]
