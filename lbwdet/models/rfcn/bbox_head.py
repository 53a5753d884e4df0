"""Position-sensitive score maps, and the vote of a region's cells."""

from collections.abc import Mapping
from typing import Any

from mmcv.cnn import ConvModule
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.registry import MODELS
from torch import Tensor, nn

from lbwdet.models.detector_parts import QuantizedPart


@MODELS.register_module()
class ScoreMapPredictor(nn.Conv2d):
    """The 1x1 convolution behind a predictor: ``grid_size**2`` channels for each output.

    Args:
        in_features, out_features: as MMDetection names them for its predictors.
        grid_size: cells of a region in each direction.
    """

    def __init__(self, in_features: int, out_features: int, grid_size: int) -> None:
        super().__init__(in_features, out_features * grid_size**2, kernel_size=1)


@MODELS.register_module()
class RFCNHead(BBoxHead):
    """The region head of R-FCN, with the targets, losses and boxes of ``BBoxHead``.

    Everything learned is convolution over the whole image: features of ``in_channels``
    are reduced to ``feat_channels`` (1x1, ReLU), and ``fc_cls`` and ``fc_reg``, named
    as in other box heads but 1x1 convolutions, make ``k * k`` maps for each class and
    box coordinate. A region's score is the mean of its pooled cells.

    Args:
        in_channels: channels of the backbone's last stage.
        feat_channels: channels of the features that the score maps are made of.
        grid_size: ``k``, cells of a region in each direction.
        reg_class_agnostic: one box for all classes, as in the paper.
        norm_cfg: normalization of the reduced features; none in the paper, which starts
            from ImageNet weights.
        **kwargs: other arguments of ``BBoxHead``.
    """

    def __init__(
        self,
        in_channels: int,
        feat_channels: int = 1024,
        grid_size: int = 7,
        reg_class_agnostic: bool = True,
        norm_cfg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        predictor = dict(type="ScoreMapPredictor", grid_size=grid_size)
        super().__init__(
            in_channels=feat_channels,
            roi_feat_size=1,  # a predictor sees one pixel of the features
            reg_class_agnostic=reg_class_agnostic,
            cls_predictor_cfg=predictor,
            reg_predictor_cfg=predictor,
            **kwargs,
        )
        self.grid_size = grid_size
        self.reduce = ConvModule(in_channels, feat_channels, kernel_size=1, norm_cfg=norm_cfg)

    def score_maps(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of a batch of images.

        Args:
            features: [B, in_channels, H, W].

        Returns:
            [B, (classes + 1) * k * k, H, W] and [B, 4 * k * k, H, W] (if not class
            agnostic: 4 * classes).
        """
        features = self.reduce(features)
        return self.fc_cls(features), self.fc_reg(features)

    def forward(self, pooled: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The cells' average vote: [R, D, k, k] to [R, D], for classes and boxes."""
        classes, boxes = pooled
        return classes.mean(dim=(2, 3)), boxes.mean(dim=(2, 3))


@MODELS.register_module()
class LBWRFCNHead(QuantizedPart, RFCNHead):
    """The region head of R-FCN with low-bit weights."""
