"""The detector inside of models that are more than one."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

from mmdet.models.detectors import MaskFormer, SemiBaseDetector, TwoStageDetector
from mmdet.models.detectors.panoptic_two_stage_segmentor import TwoStagePanopticSegmentor
from mmdet.models.mot import BaseMOTModel
from mmdet.models.vis import Mask2FormerVideo
from mmdet.registry import MODELS
from mmdet.structures import SampleList, TrackDataSample
from torch import Tensor, nn

BESIDES_BOXES = ("mask_head", "mask_iou_head")
"""Modules of a detector, or of its head, that predict something else of each box."""
FRAMES = "LBWMask2FormerFrames"


@MODELS.register_module(name=FRAMES)
class Mask2FormerFrames(Mask2FormerVideo):
    """A ``Mask2FormerVideo`` for images: each is a video of one frame."""

    def predict(self, inputs: Tensor, data_samples: SampleList, rescale: bool = True) -> SampleList:
        for image, sample in zip(inputs, data_samples, strict=True):
            video = TrackDataSample(video_data_samples=[sample])
            (found,) = self.track_head.predict(self.backbone(image[None]), video, rescale)
            sample.pred_instances = found
        return data_samples


def detector_in(model: Any) -> tuple[Any, Any]:
    """The detector that a model predicts with, and the data preprocessor of its images.

    Of a semi-supervised model that is the one that its test settings name, the teacher unless
    they say otherwise; of a tracker, what finds boxes in a single image; of a panoptic segmentor,
    what finds its instances, boxes and masks.
    """
    preprocessor = model.data_preprocessor
    if isinstance(model, SemiBaseDetector):
        chosen = model.semi_test_cfg.get("predict_on", "teacher")
        inner = model.teacher if chosen == "teacher" else model.student
        return inner, getattr(preprocessor, "data_preprocessor", preprocessor)
    if isinstance(model, BaseMOTModel) and model.with_detector:
        return model.detector, preprocessor
    if isinstance(model, Mask2FormerVideo):
        return _with(model, Mask2FormerFrames), preprocessor
    if isinstance(model, TwoStagePanopticSegmentor):
        parts = ("semantic_head", "panoptic_fusion_head")
        return _with(model, TwoStageDetector, dict.fromkeys(parts)), preprocessor
    if isinstance(model, MaskFormer) and not model.test_cfg.get("instance_on", False):
        return _of_instances(model), preprocessor
    return model, preprocessor


def _with(model: Any, kind: type, parts: Mapping[str, nn.Module | None] = {}) -> Any:
    """The same modules in a model of another kind, but for some; None: it has none."""
    other = copy.copy(model)
    other.__class__ = kind
    modules = {**model._modules, **parts}
    other._modules = {name: module for name, module in modules.items() if module is not None}
    return other


def _of_instances(model: Any) -> Any:
    """A ``MaskFormer`` whose fusion gives the instances, and nothing else."""
    fusion = copy.copy(model.panoptic_fusion_head)
    fusion.test_cfg = {**fusion.test_cfg, "instance_on": True, "panoptic_on": False}
    return _with(model, type(model), dict(panoptic_fusion_head=fusion))


@contextlib.contextmanager
def without_masks(detector: nn.Module) -> Iterator[None]:
    """Inside the block the detector is one of boxes alone, as MMDetection sees it."""
    owners = [detector, *(getattr(detector, name, None) for name in ("roi_head", "bbox_head"))]
    taken = [
        (owner, name, owner._modules.pop(name))
        for owner in owners
        if owner is not None
        for name in BESIDES_BOXES
        if name in owner._modules
    ]
    try:
        yield
    finally:
        for owner, name, module in taken:
            owner._modules[name] = module
