"""Sparse R-CNN and QueryInst: learned boxes, whose objects know one another; and their masks."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.dense_heads import EmbeddingRPNHead
from mmdet.models.layers import DynamicConv
from mmdet.models.roi_heads import SparseRoIHead
from mmdet.models.roi_heads.bbox_heads import DIIHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.cutting import NUM_SAMPLES, cut, cut_levels, read_align, sample_of
from lbwdet.deploy.lower.dynamic_masks import OBJECTS, DynamicMasks
from lbwdet.deploy.lower.head import Head, head
from lbwdet.deploy.lower.regions import dynamic_conv, of_boxes, self_attention
from lbwdet.deploy.lower.settings import TestConfig, check_exactly, check_type, four, read_coder
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.learned_boxes import LearnedBoxes
from lbwdet.deploy.runtime.operations.of_candidates import OfCandidates
from lbwdet.deploy.runtime.operations.refine import Refine
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.errors import ConfigError

PROPOSALS = "proposals"
CANDIDATES, RESCALED = "detections.candidates", "detections.rescaled"
OWN = ("predict_bbox", "_bbox_forward")


@head("SparseRoIHead", ("SparseRCNN", "QueryInst"))
class SparseRCNN(Head):
    """``dense``: the maps that regions are cut from. None of the boxes is suppressed."""

    def __init__(self, model: Any) -> None:
        roi_head, proposals = model.roi_head, model.rpn_head
        check_type("roi_head", roi_head, SparseRoIHead, *OWN)
        check_type("rpn_head", proposals, EmbeddingRPNHead, "predict", "_decode_init_proposals")
        boxes = proposals.init_proposal_bboxes.weight.detach().tolist()
        self._boxes = LearnedBoxes(PROPOSALS, tuple(four(box) for box in boxes))
        self._aligns, self._refines, self._samples = [], [], []
        pairs = zip(roi_head.bbox_head, roi_head.bbox_roi_extractor, strict=True)
        for stage, (box_head, extractor) in enumerate(pairs):
            name = f"roi_head.bbox_head.{stage}"
            _check_box_head(name, box_head)
            align = read_align(f"roi_head.bbox_roi_extractor.{stage}", extractor)
            self._aligns.append(replace(align, output=f"roi_features.{stage}"))
            objects = torch.zeros(NUM_SAMPLES, int(box_head.in_channels))
            self._samples.append((sample_of(extractor, align), objects))
            coder = read_coder(f"{name}.bbox_coder", box_head.bbox_coder)
            self._refines.append(Refine("", "", f"{PROPOSALS}.{stage + 1}", coder))
        last = roi_head.bbox_head[-1]
        self._candidates = RegionCandidates(
            scores="",
            deltas="",
            boxes="",
            output=CANDIDATES,
            num_classes=int(last.num_classes),
            class_agnostic=True,
            coder=self._refines[-1].coder,
            score_threshold=-1.0,  # all of them
            activation="sigmoid" if last.loss_cls.use_sigmoid else "softmax",
            best=TestConfig("test_cfg.rcnn", roi_head.test_cfg).positive("max_per_img"),
            numbered=True,
        )
        self._masks = DynamicMasks.of(model, SparseRoIHead)
        self._levels = cut_levels(roi_head)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(model.extract_feat(image)[: cut_levels(model.roi_head)])

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        program.add(self._boxes)
        count = len(self._boxes.boxes)
        (objects,) = program.trace(_first_objects, torch.zeros(count, 4), PROPOSALS)
        boxes, last = PROPOSALS, len(self._aligns) - 1
        for stage, align in enumerate(self._aligns):
            features = cut(program, align, boxes, maps)
            compute = functools.partial(_network, stage)
            scores, deltas, objects, attended = program.trace(
                compute, self._samples[stage], (features, objects)
            )
            if stage < last:
                refine = replace(self._refines[stage], deltas=deltas, boxes=boxes)
                program.add(refine)
                boxes = refine.output
        program.add(replace(self._candidates, scores=scores, deltas=deltas, boxes=boxes))
        self._add_detections(program, maps, attended)

    def _add_detections(self, program: Building, maps: Sequence[str], attended: str) -> None:
        classes, rescale = self._candidates.num_classes, Rescale(CANDIDATES, RESCALED)
        if self._masks is None:
            program.add(rescale, Detections(RESCALED, classes))
            return
        program.add(OfCandidates(attended, CANDIDATES, OBJECTS))
        masks, _ = self._masks.add_to(program, CANDIDATES, maps)
        program.add(rescale, Detections(RESCALED, classes, masks, self._masks.threshold))


def _check_box_head(name: str, box_head: Any) -> None:
    methods = "forward", "refine_bboxes", "regress_by_class"
    check_type(name, box_head, DIIHead, *methods)
    check_exactly(f"{name}.attention", box_head.attention, MultiheadAttention)
    check_exactly(
        f"{name}.instance_interactive_conv", box_head.instance_interactive_conv, DynamicConv
    )
    if box_head.attention.attn.in_proj_weight is None:
        raise ConfigError(f"{name}.attention: keys of other sizes than queries cannot be lowered")


def _first_objects(model: Any, boxes: Tensor) -> tuple[Tensor]:
    return (of_boxes(model.rpn_head.init_proposal_features.weight, boxes),)


def _network(stage: int, model: Any, features: Tensor, objects: Tensor) -> tuple[Tensor, ...]:
    """As ``DIIHead.forward``, of one image.

    Args:
        stage: number of the head.
        model: the detector.
        features: of the regions [n, channels, h, w].
        objects: what is known of each [n, channels].

    Returns:
        Scores, deltas, the objects for the next stage, and what they learned of one another.
    """
    head = model.roi_head.bbox_head[stage]
    attended = head.attention_norm(self_attention(head.attention, objects))
    seen = dynamic_conv(head.instance_interactive_conv, attended, features)
    found = head.instance_interactive_conv_norm(attended + seen)
    found = head.ffn_norm(head.ffn(found))
    of_class, of_box = found, found
    for layer in head.cls_fcs:
        of_class = layer(of_class)
    for layer in head.reg_fcs:
        of_box = layer(of_box)
    return head.fc_cls(of_class), head.fc_reg(of_box), found, attended
