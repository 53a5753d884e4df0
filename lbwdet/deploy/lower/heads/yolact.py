"""YOLACT: boxes from anchors, and for each a sum of maps that all share, as its mask."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import YOLACTHead, YOLACTProtonet
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.grid_masks import above, through
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.anchors import Anchors
from lbwdet.deploy.lower.kernel_masks import MASKS, KernelMasks
from lbwdet.deploy.lower.one_stage import KEPT, RESCALED, BoxMaps
from lbwdet.deploy.lower.settings import TestConfig, check_type
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.dynamic_masks import DynamicMasks
from lbwdet.deploy.runtime.operations.picked import Picked
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.errors import ConfigError


@head("YOLACTHead", ("YOLACT",))
class YOLACT(Anchors):
    """Scores and deltas of all levels; then, with masks, coefficients and the shared maps."""

    base = YOLACTHead
    methods = (*Anchors.methods, "forward_single")

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._threshold: float | None = None
        if _has_masks(model):
            mask_head = model.mask_head
            own = ("forward", "crop_single", "predict_by_feat", "_predict_by_feat_single")
            check_type("mask_head", mask_head, YOLACTProtonet, *own)
            self._threshold = above(TestConfig("test_cfg", mask_head.test_cfg).number("mask_thr"))

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        strides = head.prior_generator.strides
        if any(one != other for one, other in strides):
            raise ConfigError(
                f"bbox_head.anchor_generator.strides={strides} cannot be lowered; both sides have "
                "to be equal"
            )
        return replace(
            super().candidates(head, config),
            min_size=-1.0,  # boxes of any size are kept, whatever the config says
            whole_anchors=True,
            numbered=True,
            exact_strides=tuple(float(stride) for stride, _ in strides),
        )

    def suppression(self, config: TestConfig) -> Suppress:
        return Suppress(
            RESCALED,
            KEPT,
            config.number("iou_thr"),
            self.max_boxes(config),
            "class",
            fast=True,
            most_of_group=config.positive("top_k"),
        )

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        """As ``YOLACTHead.forward_single``, but for the coefficients' tanh."""
        head, features = model.bbox_head, model.extract_feat(image)
        shared = [through(head.head_convs, each) for each in features]
        layers = [head.conv_cls, head.conv_reg]
        if not _has_masks(model):
            return tuple(layer(each) for layer in layers for each in shared)
        maps = (layer(each) for layer in (*layers, head.conv_coeff) for each in shared)
        return (*maps, model.mask_head.protonet(features[0]))

    def box_maps(self, program: Building, maps: Sequence[str]) -> BoxMaps:
        return super().box_maps(program, maps[: 2 * len(self._candidates.strides)])

    def detections(self, program: Building, maps: Sequence[str], kept: str) -> Detections:
        if self._threshold is None:
            return super().detections(program, maps, kept)
        *coefficients, shared = maps[2 * len(self._candidates.strides) :]
        anchors = len(self._candidates.base_anchors[0])
        sums = KernelMasks(
            Picked((), "", "", anchors=anchors, tanh=True),
            DynamicMasks("", "", "", probabilities=True),
        )
        sums.add_to(program, coefficients, shared, kept)
        return Detections(
            kept,
            self._candidates.num_classes,
            MASKS,
            mask_threshold=self._threshold,
            mask_extent="canvas",
            mask_cropped=True,
        )


def _has_masks(model: Any) -> bool:
    return getattr(model, "mask_head", None) is not None
