"""What the heads of detectors that propose regions have in common."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from mmdet.models import BBoxHead, RPNHead
from mmdet.models.dense_heads import FCOSHead, GARPNHead
from mmdet.models.losses import CrossEntropyCustomLoss, SeesawLoss
from mmdet.models.roi_heads.bbox_heads import SABLHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.cutting import Cut, cut
from lbwdet.deploy.lower.guided_anchors import Guided, guided_maps
from lbwdet.deploy.lower.mask_branch import MaskBranch
from lbwdet.deploy.lower.points import point_maps, read_point_coder
from lbwdet.deploy.lower.region_buckets import (
    add_buckets,
    bucket_maps,
    check_bucket_head,
    read_bucket_coder,
)
from lbwdet.deploy.lower.settings import (
    TestConfig,
    check_type,
    read_anchors,
    read_coder,
    read_points,
)
from lbwdet.deploy.lower.suppression import read_suppress
from lbwdet.deploy.runtime.coders import Coder
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.soft_suppress import SoftSuppress
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.errors import ConfigError

DETECTORS = ("FasterRCNN", "MaskRCNN", "TwoStageDetector")
PROPOSALS, KEPT = "proposals", "detections.kept"


class Proposals:
    """A proposal head's settings.

    Raises:
        ConfigError: one that no operation stands for.
    """

    def __init__(self, name: str, head: Any) -> None:
        config = TestConfig("test_cfg.rpn", head.test_cfg)
        self._guided = Guided(name, head) if isinstance(head, GARPNHead) else None
        self._of_points = isinstance(head, FCOSHead)
        read = _candidates_of_points if self._of_points else self._candidates_of_anchors
        self.candidates = read(name, head, config)
        # Points have a class, which is the same on all levels.
        threshold, group = config.nms("all" if self._of_points else "level")
        most = config.positive("max_per_img")
        if self._guided is not None:
            self._guided.check(config, most)
        self.suppress = Suppress(
            input=self.candidates.output,
            output=f"{PROPOSALS}.kept",
            iou_threshold=threshold,
            max_boxes=most,
            group=group,
        )

    def _candidates_of_anchors(self, name: str, head: Any, config: TestConfig) -> Candidates:
        if self._guided is None:
            methods = "forward_single", "_predict_by_feat_single", "_bbox_post_process"
            check_type(name, head, RPNHead, *methods)
        else:
            check_type(name, head, GARPNHead, "forward_single", "_predict_by_feat_single")
        if not head.use_sigmoid_cls:
            raise ConfigError(f"{name}: softmax scores cannot be lowered; use_sigmoid=True is")
        anchors = (
            read_anchors(f"{name}.anchor_generator", head.prior_generator)
            if self._guided is None
            else self._guided.priors
        )
        candidates = Candidates(
            scores=(),
            deltas=(),
            output=f"{PROPOSALS}.candidates",
            strides=anchors.strides,
            base_anchors=anchors.boxes,
            coder=read_coder(f"{name}.bbox_coder", head.bbox_coder),
            num_classes=1,
            activation="none",  # only the order of the scores matters
            pre_nms=config.positive("nms_pre"),
            min_size=config.number("min_bbox_size", -1),
        )
        return candidates if self._guided is None else self._guided.candidates(candidates)

    def add_candidates(self, program: Building, maps: Sequence[str], **changes: Any) -> str:
        """Adds the candidates, from the names of the head's maps: see :func:`proposal_maps`.

        Args:
            program: has the maps.
            maps: their names.
            changes: settings of the operation that are to be others.

        Returns:
            Name of the candidates.
        """
        levels = len(self.candidates.strides)
        factors: tuple[str, ...] = ()
        scores, deltas = tuple(maps[:levels]), tuple(maps[levels:])
        if self._guided is not None:
            deltas, factors = self._guided.add_to(program, deltas)
        elif self._of_points:
            deltas, factors = deltas[:levels], deltas[levels:]
        program.add(
            replace(self.candidates, scores=scores, deltas=deltas, factors=factors, **changes)
        )
        return self.candidates.output


def proposal_maps(head: Any, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What a proposal head predicts: scores of all levels, deltas, and what else it has.

    That is what guides anchors, or the centerness of points.
    """
    if isinstance(head, FCOSHead):
        return point_maps(head, features)
    outputs = guided_maps(head, features) if isinstance(head, GARPNHead) else head(features)
    return tuple(level for kind in outputs for level in kind)


def _candidates_of_points(name: str, head: Any, config: TestConfig) -> Candidates:
    """Of FCOS, whose detections of its only class are proposals."""
    methods = "predict", "predict_by_feat", "_predict_by_feat_single", "_bbox_post_process"
    check_type(name, head, FCOSHead, *methods)
    points = read_points(f"{name}.prior_generator", head.prior_generator)
    return Candidates(
        scores=(),
        deltas=(),
        output=f"{PROPOSALS}.candidates",
        strides=points.strides,
        base_anchors=points.boxes,
        coder=read_point_coder(name, head),
        num_classes=int(head.num_classes),
        activation="sigmoid",
        pre_nms=config.positive("nms_pre"),
        score_threshold=config.number("score_thr", 0),
        min_size=config.number("min_bbox_size", -1),
    )


class TwoStage:
    """The proposal head's and the region head's settings.

    Args:
        model: the detector.
        base: the class of region heads that do here what MMDetection's does.
        name: of the region head that the detections come from.
        head: that head.
        cut: adds the features of regions.
        masks: what there is of masks.

    Raises:
        ConfigError: a part or a setting that no operation stands for.
    """

    def __init__(
        self,
        model: Any,
        base: type,
        name: str,
        head: Any,
        cut: Cut = cut,
        masks: type[MaskBranch] = MaskBranch,
    ) -> None:
        roi_head = model.roi_head
        self._proposals = Proposals("rpn_head", model.rpn_head)
        config = TestConfig("test_cfg.rcnn", roi_head.test_cfg)
        self._region_candidates = _read_regions(name, head, config)
        self._suppress = read_suppress(config, KEPT)
        if isinstance(head, SABLHead) and isinstance(self._suppress, SoftSuppress):
            # Factors take scores below min_score, where each class would drop the others'.
            raise ConfigError(
                f"{config.name}.nms: type='soft_nms' of scores with factors ({name} is "
                f"{type(head).__name__}) cannot be lowered; give type='nms'"
            )
        self._masks = masks.of(model, base, cut)

    def add_proposals(self, program: Building, maps: Sequence[str]) -> str:
        """Boxes from the proposal head's maps: scores of all levels, then deltas of all levels.

        Returns:
            Name of the boxes.
        """
        suppress = self._proposals.suppress
        self._proposals.add_candidates(program, maps)
        program.add(suppress, Regions(suppress.output, PROPOSALS))
        return PROPOSALS

    def add_detections(
        self,
        program: Building,
        scores: str,
        deltas: str,
        boxes: str = PROPOSALS,
        levels: Sequence[str] = (),
        factors: str | None = None,
    ) -> None:
        """The result.

        Args:
            program: has what follows.
            scores, deltas: of the region head.
            boxes: that it was given.
            levels: maps that regions are cut from, where there are masks.
            factors: of the scores of each box, if there are some.
        """
        candidates, rescaled = self._region_candidates.output, "detections.rescaled"
        classes = self._region_candidates.num_classes
        read = replace(self._region_candidates, scores=scores, deltas=deltas, boxes=boxes)
        program.add(replace(read, factors=factors))
        if self._masks is None:
            program.add(
                Rescale(candidates, rescaled),
                replace(self._suppress, input=rescaled),
                Detections(KEPT, classes),
            )
            return
        # As in MMDetection, boxes are in the network's pixels until they have their masks.
        program.add(replace(self._suppress, input=candidates))
        masks, scored = self._masks.add_to(program, KEPT, levels)
        program.add(
            Rescale(scored, rescaled), Detections(rescaled, classes, masks, self._masks.threshold)
        )


def _read_regions(name: str, head: Any, config: TestConfig) -> RegionCandidates:
    activation: Literal["softmax", "seesaw", "sigmoid"] = "softmax"
    if type(head.loss_cls) is SeesawLoss:
        activation = "seesaw"
    elif type(head.loss_cls) is CrossEntropyCustomLoss:
        activation = "sigmoid" if head.loss_cls.use_sigmoid else "softmax"
    elif head.custom_cls_channels:
        raise ConfigError(
            f"{name}: {type(head.loss_cls).__name__} has scores of its own, which cannot be "
            "lowered; supported are a softmax over classes and background, SeesawLoss and "
            "CrossEntropyCustomLoss"
        )
    return RegionCandidates(
        scores="",
        deltas="",
        boxes="",
        output="detections.candidates",
        num_classes=int(head.num_classes),
        class_agnostic=bool(head.reg_class_agnostic),
        coder=read_region_coder(name, head),
        score_threshold=config.number("score_thr"),
        activation=activation,
    )


def check_box_head(name: str, head: Any) -> None:
    """Raises ConfigError if a region head makes boxes in another way."""
    if isinstance(head, SABLHead):
        return check_bucket_head(name, head)
    check_type(name, head, BBoxHead, "_predict_by_feat_single", "regress_by_class")
    if not (head.with_cls and head.with_reg):
        raise ConfigError(f"{name}: scores without boxes cannot be lowered")


def read_region_coder(name: str, head: Any) -> Coder:
    """How a region head's boxes are coded; raises ConfigError if no operation has it."""
    place = f"{name}.bbox_coder"
    if isinstance(head, SABLHead):
        return read_bucket_coder(place, head.bbox_coder)
    return read_coder(place, head.bbox_coder)


def region_maps(head: Any, features: Tensor) -> tuple[Tensor, ...]:
    """What a region head predicts: scores and deltas, or what :func:`add_deltas` takes."""
    if isinstance(head, SABLHead):
        return bucket_maps(head, features)
    scores, deltas = head(features)
    return scores, deltas


def add_deltas(
    program: Building, head: Any, maps: Sequence[str], name: str
) -> tuple[str, str | None]:
    """Adds what boxes are decoded from, of :func:`region_maps` without the scores.

    Args:
        program: has the maps.
        head: the region head.
        maps: names of the maps.
        name: that values begin with.

    Returns:
        Names of the deltas, and of the factors of scores, if there are some.
    """
    if isinstance(head, SABLHead):
        return add_buckets(program, head, tuple(maps), name)
    (deltas,) = maps
    return deltas, None
