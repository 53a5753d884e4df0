"""Detectors inside of trackers and semi-supervised models."""

import numpy as np
import pytest
import torch
from mmdet.models.data_preprocessors import MultiBranchDataPreprocessor, TrackDataPreprocessor
from mmdet.models.detectors import PanopticFPN, SoftTeacher, TwoStageDetector
from mmdet.models.mot import QDTrack
from torch import nn

from lbwdet.deploy.lower import lower
from lbwdet.deploy.lower.wrapped import detector_in, without_masks

NORMALIZE = dict(mean=[100, 110, 120], std=[50, 60, 70], bgr_to_rgb=True, pad_size_divisor=32)


def shell(kind, preprocessor, **parts):
    """A model of ``kind`` around parts that are there already."""
    model = kind.__new__(kind)
    nn.Module.__init__(model)
    model.data_preprocessor = preprocessor
    for name, part in parts.items():
        setattr(model, name, part)
    return model.eval()


@pytest.mark.parametrize("predict_on", ["teacher", "student"])
def test_whichever_a_semi_supervised_model_predicts_with(tiny, two_stage, predict_on):
    torch.manual_seed(1)
    other = two_stage()
    chosen, left = ("teacher", "student") if predict_on == "teacher" else ("student", "teacher")
    preprocessor = MultiBranchDataPreprocessor(
        data_preprocessor=dict(type="DetDataPreprocessor", **NORMALIZE)
    )
    model = shell(
        SoftTeacher,
        preprocessor,
        semi_test_cfg=dict(predict_on=predict_on),
        **{chosen: tiny.model, left: other},
    )
    assert detector_in(model) == (tiny.model, preprocessor.data_preprocessor)
    lowered = lower(model, tiny.pipeline)
    same_program_but_pixels(lowered, tiny.lowered)
    assert lowered.program.operations[0].mean == (100.0, 110.0, 120.0)


def same_program_but_pixels(one, other):
    assert one.program.operations[1:] == other.program.operations[1:]
    for name, weight in one.weights.items():
        assert np.array_equal(weight.codes, other.weights[name].codes)


def test_what_finds_boxes_in_a_tracker(tiny):
    model = shell(QDTrack, TrackDataPreprocessor(**NORMALIZE), detector=tiny.model)
    load, *others = tiny.pipeline
    pipeline = [dict(type="TransformBroadcaster", transforms=[load, *others[:-1]])]
    lowered = lower(model, [*pipeline, dict(type="PackTrackInputs")])
    same_program_but_pixels(lowered, tiny.lowered)
    assert lowered.program.operations[0].std == (50.0, 60.0, 70.0)


def test_instances_of_a_panoptic_segmentor(tiny, two_stage):
    """What it segments besides, and fuses with them, is no part of the detector."""
    mask_rcnn = two_stage("MaskRCNN", mask={})
    parts = {
        name: getattr(mask_rcnn, name) for name in ("backbone", "neck", "rpn_head", "roi_head")
    }
    model = shell(
        PanopticFPN, mask_rcnn.data_preprocessor, semantic_head=nn.Conv2d(1, 1, 1), **parts
    )
    detector, preprocessor = detector_in(model)
    assert type(detector) is TwoStageDetector and preprocessor is mask_rcnn.data_preprocessor
    assert detector.roi_head is model.roi_head and not hasattr(detector, "semantic_head")
    lowered, expected = (lower(each, tiny.pipeline) for each in (model, mask_rcnn))
    assert lowered.program == expected.program and lowered.program.has_masks
    assert isinstance(model, PanopticFPN) and model.with_semantic_head
    assert not lower(model, tiny.pipeline, boxes_only=True).program.has_masks


def test_masks_are_gone_for_a_while(two_stage):
    model = two_stage("MaskRCNN", mask={})
    head = model.roi_head.mask_head
    with without_masks(model):
        assert not model.roi_head.with_mask
    assert model.roi_head.mask_head is head
