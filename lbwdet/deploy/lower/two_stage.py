"""Lowers Faster R-CNN: the one place that knows how this kind of detector is put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmcv.ops import RoIAlign as MMCVRoIAlign
from mmdet.models import (
    BBoxHead,
    FasterRCNN,
    RPNHead,
    SingleRoIExtractor,
    StandardRoIHead,
    TwoStageDetector,
)
from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder
from torch import Tensor

from lbwdet.deploy.lower.activations import trained_activations
from lbwdet.deploy.lower.fuse import fuse
from lbwdet.deploy.lower.preprocess import read_preprocess
from lbwdet.deploy.lower.trace import trace
from lbwdet.deploy.lower.weights import store_weights
from lbwdet.deploy.runtime.operations import (
    BoxCoder,
    Detections,
    Program,
    Proposals,
    Quantization,
    RoIAlign,
)
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import ConfigError

SUPPORTED = (
    "Faster R-CNN: a backbone and a neck of convolutions, RPNHead, StandardRoIHead with "
    "SingleRoIExtractor, RoIAlign and a box head such as Shared2FCBBoxHead"
)
TRACE_SIZE = (128, 192)  # any size that the strides divide; a program has none
MAX_RATIO = 16 / 1000  # DeltaXYWHBBoxCoder's wh_ratio_clip
ROI_FEATURES = "roi_features"
PROPOSALS = "proposals"


@dataclass(frozen=True)
class Lowered:
    """A detector as operations, not calibrated yet.

    Attributes:
        program: its ``quantizations`` are empty.
        weights: by layer.
        activations: of the inputs of layers whose quantization was trained, by layer.
    """

    program: Program
    weights: dict[str, StoredWeight]
    activations: dict[str, Quantization]


def lower(model: Any, pipeline: Sequence[Mapping[str, Any]]) -> Lowered:
    """A detector's operations and its weights.

    Args:
        model: MMDetection's detector in eval mode, float or with quantized layers.
        pipeline: its test pipeline, as in the config.

    Raises:
        ConfigError: names the first module or setting that no operation stands for.
    """
    # First what takes no time: settings that cannot be lowered are told at once.
    _check_model(model)
    extractor = model.roi_head.bbox_roi_extractor
    preprocess = read_preprocess(pipeline, model.data_preprocessor)
    proposals, align = _proposals(model.rpn_head), _roi_align(extractor)
    detections = _detections(model.roi_head)

    image = torch.zeros(1, 3, *TRACE_SIZE)
    dense = fuse(trace(model, _dense_part, image), {"sample": preprocess.output})
    levels = len(dense.outputs) // 3
    maps, scores, deltas = (
        dense.outputs[start : start + levels] for start in range(0, 3 * levels, levels)
    )
    features = torch.zeros(2, extractor.out_channels, align.size, align.size)
    head = fuse(trace(model, _box_head, features), {"sample": align.output})
    operations = (
        preprocess,
        *dense.operations,
        replace(proposals, scores=scores, deltas=deltas),
        replace(align, inputs=maps[: extractor.num_inputs]),
        *head.operations,
        replace(detections, scores=head.outputs[0], deltas=head.outputs[1]),
    )
    weights = store_weights(model, dense.layers | head.layers)
    return Lowered(Program(operations, {}), weights, trained_activations(model, weights))


def _dense_part(model: Any, image: Tensor) -> tuple[Tensor, ...]:
    """All levels of the pyramid, then the proposal head's scores, then its deltas."""
    maps = model.extract_feat(image)
    scores, deltas = model.rpn_head(maps)
    return (*maps, *scores, *deltas)


def _box_head(model: Any, features: Tensor) -> tuple[Tensor, ...]:
    outputs: tuple[Tensor, ...] = model.roi_head.bbox_head(features)
    return outputs


def _check_model(model: Any) -> None:
    if type(model) not in (FasterRCNN, TwoStageDetector):
        raise ConfigError(f"{type(model).__name__} cannot be lowered; supported is {SUPPORTED}")
    if model.training:
        raise ConfigError(f"{type(model).__name__} is in training mode; lower it after eval()")
    _check_type(
        "rpn_head",
        model.rpn_head,
        RPNHead,
        "forward_single",
        "_predict_by_feat_single",
        "_bbox_post_process",
    )
    roi_head = model.roi_head
    _check_type("roi_head", roi_head, StandardRoIHead, "predict_bbox", "_bbox_forward")
    for part in ("mask_head", "shared_head"):
        if getattr(roi_head, part, None) is not None:
            raise ConfigError(f"roi_head.{part} cannot be lowered; supported is {SUPPORTED}")
    _check_type(
        "roi_head.bbox_roi_extractor",
        roi_head.bbox_roi_extractor,
        SingleRoIExtractor,
        "forward",
        "map_roi_levels",
    )
    _check_type("roi_head.bbox_head", roi_head.bbox_head, BBoxHead, "_predict_by_feat_single")


def _check_type(name: str, module: Any, base: type, *methods: str) -> None:
    """A subclass may have other layers, which tracing sees, but not do other things with them."""
    if not isinstance(module, base) or any(
        getattr(type(module), method) is not getattr(base, method) for method in methods
    ):
        raise ConfigError(
            f"{name} {type(module).__name__} cannot be lowered; supported is {SUPPORTED}"
        )


def _proposals(head: Any) -> Proposals:
    """The settings of the proposal head; the names of its maps come from the traced graph."""
    if not head.use_sigmoid_cls:
        raise ConfigError("rpn_head: softmax scores cannot be lowered; use_sigmoid=True is")
    anchors = head.prior_generator
    _check_exactly("rpn_head.anchor_generator", anchors, AnchorGenerator)
    config = _TestConfig("test_cfg.rpn", head.test_cfg)
    return Proposals(
        scores=(),
        deltas=(),
        output=PROPOSALS,
        strides=tuple(
            _square("rpn_head.anchor_generator.strides", stride) for stride in anchors.strides
        ),
        base_anchors=tuple(
            tuple(_four(anchor) for anchor in level.tolist()) for level in anchors.base_anchors
        ),
        coder=_coder("rpn_head.bbox_coder", head.bbox_coder),
        pre_nms=config.positive("nms_pre"),
        max_boxes=config.positive("max_per_img"),
        iou_threshold=config.nms_threshold(),
        min_size=float(config.settings.get("min_bbox_size", -1)),
    )


def _roi_align(extractor: Any) -> RoIAlign:
    name = "roi_head.bbox_roi_extractor"
    layers = list(extractor.roi_layers)
    for layer in layers:
        _check_exactly(f"{name}.roi_layer", layer, MMCVRoIAlign)
        if layer.pool_mode != "avg" or not layer.aligned:
            raise ConfigError(
                f"{name}: RoIAlign(pool_mode={layer.pool_mode!r}, aligned={layer.aligned}) cannot "
                "be lowered; supported are pool_mode='avg' and aligned=True"
            )
    return RoIAlign(
        inputs=(),
        boxes=PROPOSALS,
        output=ROI_FEATURES,
        strides=tuple(int(stride) for stride in extractor.featmap_strides),
        size=_square(f"{name}.output_size", layers[0].output_size),
        sampling_ratio=int(layers[0].sampling_ratio),
        finest_scale=float(extractor.finest_scale),
    )


def _detections(roi_head: Any) -> Detections:
    head = roi_head.bbox_head
    if head.custom_cls_channels:
        raise ConfigError(
            f"roi_head.bbox_head: {type(head.loss_cls).__name__} has scores of its own, which "
            "cannot be lowered; supported is a softmax over classes and background"
        )
    config = _TestConfig("test_cfg.rcnn", roi_head.test_cfg)
    return Detections(
        scores="",
        deltas="",
        boxes=PROPOSALS,
        num_classes=int(head.num_classes),
        class_agnostic=bool(head.reg_class_agnostic),
        coder=_coder("roi_head.bbox_head.bbox_coder", head.bbox_coder),
        score_threshold=float(config.settings["score_thr"]),
        iou_threshold=config.nms_threshold(),
        max_boxes=config.positive("max_per_img"),
    )


def _coder(name: str, coder: Any) -> BoxCoder:
    _check_exactly(name, coder, DeltaXYWHBBoxCoder)
    if coder.add_ctr_clamp or not coder.clip_border:
        raise ConfigError(
            f"{name}: clip_border={coder.clip_border}, add_ctr_clamp={coder.add_ctr_clamp} cannot "
            "be lowered; supported are clip_border=True and add_ctr_clamp=False"
        )
    return BoxCoder(_four(coder.means), _four(coder.stds), MAX_RATIO)


@dataclass(frozen=True)
class _TestConfig:
    """A ``test_cfg`` and its name in messages."""

    name: str
    settings: Mapping[str, Any]

    def positive(self, key: str) -> int:
        value = self.settings.get(key, -1)
        if not value > 0:
            raise ConfigError(f"{self.name}.{key}={value} cannot be lowered; give a number above 0")
        return int(value)

    def nms_threshold(self) -> float:
        nms = dict(self.settings.get("nms") or {})
        kind, threshold = nms.pop("type", "nms"), nms.pop("iou_threshold", None)
        if kind != "nms" or threshold is None or nms:
            raise ConfigError(
                f"{self.name}.nms={dict(self.settings.get('nms') or {})} cannot be lowered; "
                "supported is dict(type='nms', iou_threshold=...)"
            )
        return float(threshold)


def _check_exactly(name: str, thing: Any, kind: type) -> None:
    if type(thing) is not kind:
        raise ConfigError(
            f"{name}: {type(thing).__name__} cannot be lowered; supported is {kind.__name__}"
        )


def _square(name: str, pair: Any) -> int:
    first, second = pair
    if first != second:
        raise ConfigError(f"{name}={pair} cannot be lowered; both sides have to be equal")
    return int(first)


def _four(values: Sequence[float]) -> tuple[float, float, float, float]:
    a, b, c, d = (float(value) for value in values)
    return a, b, c, d
