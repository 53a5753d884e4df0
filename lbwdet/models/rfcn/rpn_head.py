"""Proposals from fewer feature maps than the backbone hands out."""

from typing import Any

from mmdet.registry import MODELS
from torch import Tensor

from lbwdet.models.detector_parts import LBWRPNHead


@MODELS.register_module()
class FirstLevelsRPNHead(LBWRPNHead):
    """A region proposal head that leaves alone the feature maps it has no anchors for.

    It takes the first of them, as many as ``anchor_generator`` has strides. In
    R-FCN the backbone gives res4 and res5; proposals come from res4 only.
    """

    def forward(self, x: tuple[Tensor, ...]) -> Any:
        return super().forward(x[: self.prior_generator.num_levels])
