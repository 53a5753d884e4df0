"""What the heads of detectors that propose regions have in common."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models import RPNHead

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.settings import (
    TestConfig,
    check_type,
    read_anchors,
    read_coder,
)
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.errors import ConfigError

DETECTORS = ("FasterRCNN", "TwoStageDetector")
PROPOSALS = "proposals"


class TwoStage:
    """The proposal head's and the region head's settings.

    Raises:
        ConfigError: a part or a setting that no operation stands for.
    """

    def __init__(self, model: Any) -> None:
        rpn, roi_head = model.rpn_head, model.roi_head
        check_type(
            "rpn_head",
            rpn,
            RPNHead,
            "forward_single",
            "_predict_by_feat_single",
            "_bbox_post_process",
        )
        for part in ("mask_head", "shared_head"):
            if getattr(roi_head, part, None) is not None:
                raise ConfigError(
                    f"roi_head.{part} cannot be lowered; supported are detectors of boxes without"
                )
        self._candidates, self._suppress = _read_proposals(rpn)
        self._region_candidates, self._suppress_regions = _read_regions(roi_head)

    @property
    def levels(self) -> int:
        """Of the proposal head."""
        return len(self._candidates.strides)

    def add_proposals(self, program: Building, maps: Sequence[str]) -> str:
        """Boxes from the proposal head's maps: scores of all levels, then deltas of all levels.

        Returns:
            Name of the boxes.
        """
        candidates, kept = self._candidates.output, self._suppress.output
        program.add(
            replace(
                self._candidates,
                scores=tuple(maps[: self.levels]),
                deltas=tuple(maps[self.levels :]),
            ),
            replace(self._suppress, input=candidates),
            Regions(kept, PROPOSALS),
        )
        return PROPOSALS

    def add_detections(self, program: Building, scores: str, deltas: str) -> None:
        """The result, from the region head's scores and deltas."""
        candidates, rescaled = self._region_candidates.output, "detections.rescaled"
        program.add(
            replace(self._region_candidates, scores=scores, deltas=deltas),
            Rescale(candidates, rescaled),
            replace(self._suppress_regions, input=rescaled),
            Detections(self._suppress_regions.output, self._region_candidates.num_classes),
        )


def _read_proposals(head: Any) -> tuple[Candidates, Suppress]:
    """The settings; the names of what is read come from the traced graph."""
    if not head.use_sigmoid_cls:
        raise ConfigError("rpn_head: softmax scores cannot be lowered; use_sigmoid=True is")
    anchors = read_anchors("rpn_head.anchor_generator", head.prior_generator)
    config = TestConfig("test_cfg.rpn", head.test_cfg)
    candidates = Candidates(
        scores=(),
        deltas=(),
        output=f"{PROPOSALS}.candidates",
        strides=anchors.strides,
        base_anchors=anchors.boxes,
        coder=read_coder("rpn_head.bbox_coder", head.bbox_coder),
        num_classes=1,
        activation="none",  # only the order of the scores matters
        pre_nms=config.positive("nms_pre"),
        min_size=config.number("min_bbox_size", -1),
    )
    suppress = Suppress(
        input="",
        output=f"{PROPOSALS}.kept",
        iou_threshold=config.nms_threshold(),
        max_boxes=config.positive("max_per_img"),
        group="level",
    )
    return candidates, suppress


def _read_regions(roi_head: Any) -> tuple[RegionCandidates, Suppress]:
    head = roi_head.bbox_head
    if head.custom_cls_channels:
        raise ConfigError(
            f"roi_head.bbox_head: {type(head.loss_cls).__name__} has scores of its own, which "
            "cannot be lowered; supported is a softmax over classes and background"
        )
    config = TestConfig("test_cfg.rcnn", roi_head.test_cfg)
    candidates = RegionCandidates(
        scores="",
        deltas="",
        boxes=PROPOSALS,
        output="detections.candidates",
        num_classes=int(head.num_classes),
        class_agnostic=bool(head.reg_class_agnostic),
        coder=read_coder("roi_head.bbox_head.bbox_coder", head.bbox_coder),
        score_threshold=config.number("score_thr"),
    )
    suppress = Suppress(
        input="",
        output="detections.kept",
        iou_threshold=config.nms_threshold(),
        max_boxes=config.positive("max_per_img"),
        group="class",
    )
    return candidates, suppress
