"""The detector inside of models that are more than one."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from mmdet.models.detectors import SemiBaseDetector, TwoStageDetector
from mmdet.models.detectors.panoptic_two_stage_segmentor import TwoStagePanopticSegmentor
from mmdet.models.mot import BaseMOTModel
from torch import nn

BESIDES_BOXES = ("mask_head", "mask_iou_head")
"""Modules of a detector, or of its head, that predict something else of each box."""


def detector_in(model: Any) -> tuple[Any, Any]:
    """The detector that a model predicts with, and the data preprocessor of its images.

    Of a semi-supervised model that is the one that its test settings name, the teacher unless
    they say otherwise; of a tracker, what finds boxes in a single image; of a panoptic segmentor
    with two stages, what finds its instances, boxes and masks.
    """
    preprocessor = model.data_preprocessor
    if isinstance(model, SemiBaseDetector):
        chosen = model.semi_test_cfg.get("predict_on", "teacher")
        inner = model.teacher if chosen == "teacher" else model.student
        return inner, getattr(preprocessor, "data_preprocessor", preprocessor)
    if isinstance(model, BaseMOTModel) and model.with_detector:
        return model.detector, preprocessor
    if isinstance(model, TwoStagePanopticSegmentor):
        return _instances_of(model), preprocessor
    return model, preprocessor


def _instances_of(segmentor: Any) -> TwoStageDetector:
    """The same modules, whose instances are the result, and no input of a fusion."""
    detector = copy.copy(segmentor)
    detector.__class__ = TwoStageDetector
    detector._modules = {
        name: module
        for name, module in segmentor._modules.items()
        if name not in ("semantic_head", "panoptic_fusion_head")
    }
    return detector


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
