"""Regions of R-FCN: score maps once an image, pooling and voting once a region."""

from typing import Any

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from torch import Tensor

from lbwdet.errors import ConfigError


@MODELS.register_module()
class RFCNRoIHead(StandardRoIHead):
    """``StandardRoIHead`` on position-sensitive score maps of the last feature map.

    The maps are made before anything is asked about regions. Judging one more region
    then costs only its pooling, which makes MMDetection's ``OHEMSampler`` cheap: it
    judges every proposal to train on the hardest.

    Args:
        bbox_roi_extractor: a ``PSRoIExtractor``.
        bbox_head: an ``RFCNHead`` of the same ``grid_size``.
        **kwargs: other arguments of ``StandardRoIHead``.

    Raises:
        ConfigError: the two disagree about ``grid_size``.
    """

    def init_bbox_head(self, bbox_roi_extractor: Any, bbox_head: Any) -> None:
        super().init_bbox_head(bbox_roi_extractor, bbox_head)
        pooled, voted = self.bbox_roi_extractor.grid_size, self.bbox_head.grid_size
        if pooled != voted:
            raise ConfigError(
                f"bbox_roi_extractor has grid_size={pooled}, bbox_head has grid_size={voted}: "
                "give both the same"
            )

    def forward(self, x: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> Any:
        return super().forward(self.bbox_head.score_maps(x[-1]), *args, **kwargs)

    def loss(self, x: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> Any:
        return super().loss(self.bbox_head.score_maps(x[-1]), *args, **kwargs)

    def predict_bbox(self, x: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> Any:
        return super().predict_bbox(self.bbox_head.score_maps(x[-1]), *args, **kwargs)
