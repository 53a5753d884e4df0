"""Cascade R-CNN beside MMDetection."""

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.mean import Mean
from lbwdet.deploy.runtime.operations.refine import Refine
from lbwdet.errors import ConfigError


@pytest.mark.parametrize("agnostic", [True, False])
def test_equals_mmdetection(whole, tiny, two_stage, cascade, agnostic):
    model = two_stage("CascadeRCNN", cascade(reg_class_agnostic=agnostic))
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    operations = lowered.program.operations
    first, second = (op for op in operations if isinstance(op, Refine))
    assert (first.boxes, first.output, second.boxes) == ("proposals", *["proposals.1"] * 2)
    assert (first.num_classes, first.scores is None) == ((1, True) if agnostic else (2, False))
    assert first.coder.stds == (0.1, 0.1, 0.2, 0.2) and second.coder.stds == (0.05, 0.05, 0.1, 0.1)
    (mean,) = (op for op in operations if isinstance(op, Mean))
    assert mean.inputs == tuple(f"roi_head.bbox_head.{stage}.fc_cls" for stage in range(3))
    assert len({layer for op in operations for layer in op.layers() if "bbox_head" in layer}) == 12


def test_masks_of_all_stages_are_averaged(whole, tiny, two_stage, cascade):
    model = two_stage("CascadeRCNN", cascade(reg_class_agnostic=True), mask={})
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    mean = lowered.program.operations[-3]
    assert mean == Mean(("masks.0", "masks.1", "masks.2"), "masks")


def test_heads_that_make_boxes_in_another_way(tiny, two_stage, cascade, monkeypatch):
    model = two_stage("CascadeRCNN", cascade())
    kind = type(model.roi_head)
    other = type("Other", (kind,), {"_refine_roi": lambda self: None})
    monkeypatch.setattr(model.roi_head, "__class__", other)
    with pytest.raises(ConfigError, match="roi_head Other cannot be lowered; supported is Cascade"):
        lower(model, tiny.pipeline)
