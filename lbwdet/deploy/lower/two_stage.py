"""Lowers detectors that propose regions: what Faster R-CNN and R-FCN have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmdet.models import FasterRCNN, RPNHead, TwoStageDetector
from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder
from torch import Tensor

from lbwdet.deploy.lower.activations import trained_activations
from lbwdet.deploy.lower.checks import SUPPORTED, check_exactly, check_type, one_of_pair
from lbwdet.deploy.lower.faster_rcnn import FasterRCNNRegions
from lbwdet.deploy.lower.fuse import fuse
from lbwdet.deploy.lower.preprocess import read_preprocess
from lbwdet.deploy.lower.regions import Regions
from lbwdet.deploy.lower.rfcn import RFCNRegions, is_rfcn
from lbwdet.deploy.lower.trace import trace
from lbwdet.deploy.lower.weights import store_weights
from lbwdet.deploy.runtime.operations import (
    BoxCoder,
    Detections,
    Program,
    Proposals,
    Quantization,
)
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import ConfigError

TRACE_SIZE = (128, 192)  # any size that the strides divide; a program has none
MAX_RATIO = 16 / 1000  # DeltaXYWHBBoxCoder's wh_ratio_clip
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
    roi_head = model.roi_head
    regions: Regions = RFCNRegions(roi_head) if is_rfcn(roi_head) else FasterRCNNRegions(roi_head)
    preprocess = read_preprocess(pipeline, model.data_preprocessor)
    proposals, detections = _proposals(model.rpn_head), _detections(roi_head)

    def dense_part(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        """What regions are cut from, then the proposal head's scores, then its deltas."""
        features = model.extract_feat(image)
        scores, deltas = model.rpn_head(features)
        return (*regions.maps(model, features), *scores, *deltas)

    image = torch.zeros(1, 3, *TRACE_SIZE)
    dense = fuse(trace(model, dense_part, image), {"sample": preprocess.output})
    levels = len(proposals.strides)
    maps = dense.outputs[: -2 * levels]
    scores, deltas = dense.outputs[-2 * levels : -levels], dense.outputs[-levels:]
    head = regions.lower(model, maps, proposals.output)
    operations = (
        preprocess,
        *dense.operations,
        replace(proposals, scores=scores, deltas=deltas),
        *head.operations,
        replace(detections, scores=head.scores, deltas=head.deltas),
    )
    weights = store_weights(model, dense.layers | head.layers)
    return Lowered(Program(operations, {}), weights, trained_activations(model, weights))


def _check_model(model: Any) -> None:
    if type(model) not in (FasterRCNN, TwoStageDetector):
        raise ConfigError(f"{type(model).__name__} cannot be lowered; supported is {SUPPORTED}")
    if model.training:
        raise ConfigError(f"{type(model).__name__} is in training mode; lower it after eval()")
    check_type(
        "rpn_head",
        model.rpn_head,
        RPNHead,
        "forward_single",
        "_predict_by_feat_single",
        "_bbox_post_process",
    )
    for part in ("mask_head", "shared_head"):
        if getattr(model.roi_head, part, None) is not None:
            raise ConfigError(f"roi_head.{part} cannot be lowered; supported is {SUPPORTED}")


def _proposals(head: Any) -> Proposals:
    """The settings of the proposal head; the names of its maps come from the traced graph."""
    if not head.use_sigmoid_cls:
        raise ConfigError("rpn_head: softmax scores cannot be lowered; use_sigmoid=True is")
    anchors = head.prior_generator
    check_exactly("rpn_head.anchor_generator", anchors, AnchorGenerator)
    config = _TestConfig("test_cfg.rpn", head.test_cfg)
    return Proposals(
        scores=(),
        deltas=(),
        output=PROPOSALS,
        strides=tuple(
            one_of_pair("rpn_head.anchor_generator.strides", stride) for stride in anchors.strides
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
    check_exactly(name, coder, DeltaXYWHBBoxCoder)
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


def _four(values: Sequence[float]) -> tuple[float, float, float, float]:
    a, b, c, d = (float(value) for value in values)
    return a, b, c, d
