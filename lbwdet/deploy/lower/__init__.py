"""From an MMDetection detector to a program.

``lower`` is the one entry. A detector's :mod:`head <.head>` says which part of it is dense; that
is traced to a plain list of tensor operations (:mod:`.trace`); a rule makes an operation that
runs from each of them (:mod:`.rule`, :mod:`.rules`); fusions make one of two, where one computes
both (:mod:`.fusions`); and the head adds what is behind: boxes from maps.

To add a detector, add a file to :mod:`.heads`, and one to :mod:`.rules` for each call that has no
rule yet.
"""

import lbwdet.compat  # noqa: F401  (mmdet.models imports mmcv.ops)

# isort: split
from lbwdet.deploy.lower.head import Head, RegionHead, head_of
from lbwdet.deploy.lower.lowering import Lowered, lower

__all__ = ["Head", "Lowered", "RegionHead", "head_of", "lower"]
