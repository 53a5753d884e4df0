"""CondInst: FCOS's boxes, and for each the kernels of a small network that finds its mask."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import CondInstBboxHead, CondInstMaskHead
from mmdet.models.dense_heads.condinst_head import MaskFeatModule
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.grid_masks import above
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.fcos import FCOS
from lbwdet.deploy.lower.kernel_masks import MASKS, KernelMasks, with_places
from lbwdet.deploy.lower.one_stage import BoxMaps
from lbwdet.deploy.lower.resizing import aligned
from lbwdet.deploy.lower.settings import TestConfig, check_type
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.enlarged_masks import EnlargedMasks
from lbwdet.errors import ConfigError

LOGITS = "masks.logits"


@head("CondInstBboxHead", ("CondInst",))
class CondInst(FCOS):
    """As ``FCOS``; then, with masks, kernels of all levels, and the map that all kernels meet."""

    base = CondInstBboxHead
    methods = (*FCOS.methods, "forward_single")

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        if not model.bbox_head.norm_on_bbox:
            raise ConfigError("bbox_head.norm_on_bbox=False cannot be lowered; give True")
        self._masks = _read_masks(model, self._candidates.strides) if _has_masks(model) else None

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        return replace(super().candidates(head, config), numbered=True)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        features = model.extract_feat(image)
        scores, distances, factors, kernels = model.bbox_head(features)
        boxes = (*scores, *distances, *factors)
        if not _has_masks(model):
            return boxes
        return (*boxes, *kernels, _mask_features(model.mask_head.mask_feature_head, features))

    def box_maps(self, program: Building, maps: Sequence[str]) -> BoxMaps:
        return super().box_maps(program, maps[: 3 * len(self._candidates.strides)])

    def detections(self, program: Building, maps: Sequence[str], kept: str) -> Detections:
        if self._masks is None:
            return super().detections(program, maps, kept)
        kernels, shape = self._masks
        *numbers, shared = maps[3 * len(self._candidates.strides) :]
        kernels.add_to(program, numbers, shared, kept, LOGITS)
        program.add(EnlargedMasks(LOGITS, MASKS, kernels.masks.step // shape.mask_factor))
        return replace(shape, input=kept, masks=MASKS)


def _has_masks(model: Any) -> bool:
    return getattr(model, "mask_head", None) is not None


def _read_masks(model: Any, strides: Sequence[int]) -> tuple[KernelMasks, Detections]:
    """How masks are found, and how they become the image's."""
    mask_head, points = model.mask_head, model.bbox_head.prior_generator
    own = ("forward_single", "dynamic_conv_forward", "parse_dynamic_params", "predict_by_feat")
    check_type("mask_head", mask_head, CondInstMaskHead, *own, "_predict_by_feat_single")
    features = mask_head.mask_feature_head
    check_type("mask_head.mask_feature_head", features, MaskFeatModule, "forward")
    stride, out = int(mask_head.mask_feat_stride), int(mask_head.mask_out_stride)
    if stride % out:
        raise ConfigError(
            f"mask_head: mask_out_stride={out} cannot be lowered; give one that divides the "
            f"features', {stride}"
        )
    kernels = with_places(
        strides,
        float(points.offset),
        mask_head.prior_generator,
        [int(mask_head.feat_channels)] * (int(mask_head.num_layers) - 1),
        float(mask_head.size_of_interest),
    )
    threshold = TestConfig("test_cfg", mask_head.test_cfg).number("mask_thr")
    return kernels, Detections(
        "",
        int(model.bbox_head.num_classes),
        mask_threshold=above(threshold),
        mask_extent="bounds",
        mask_factor=out,
        mask_aligned=True,
    )


def _mask_features(module: Any, features: Sequence[Tensor]) -> Tensor:
    """As ``MaskFeatModule.forward``: a sum of levels, each as large as the first."""
    first, *others = features[module.start_level : module.end_level + 1]
    total = module.convs_all_levels[0](first)
    for level, each in enumerate(others, 1):
        made = module.convs_all_levels[level](each)
        total = total + aligned(made, 2**level)
    found: Tensor = module.conv_pred(module.conv_branch(total))
    return found
