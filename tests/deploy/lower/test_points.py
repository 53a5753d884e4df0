"""Points that propose regions; those of detectors at once are in heads/test_fcos.py."""

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.errors import ConfigError


@pytest.fixture(scope="module")
def build(two_stage):
    def build(**changes):
        rpn_head = dict(
            _delete_=True,
            type="FCOSHead",
            num_classes=1,
            in_channels=16,
            feat_channels=16,
            stacked_convs=1,
            strides=[4, 8, 16, 32, 64],
            norm_cfg=dict(type="BN"),
            **changes,
        )
        return two_stage(model=dict(rpn_head=rpn_head))

    return build


@pytest.mark.parametrize("norm_on_bbox", [False, True])
def test_proposals_equal_mmdetections(whole, tiny, build, norm_on_bbox):
    model = build(norm_on_bbox=norm_on_bbox)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    by_output = {operation.written: operation for operation in lowered.program.operations}
    candidates, kept = (by_output[f"proposals.{part}"] for part in ("candidates", "kept"))
    assert candidates.coder == DistanceCoder(exponential=not norm_on_bbox)
    assert len(candidates.factors) == 5 and candidates.num_classes == 1
    assert kept.group == "all" and kept.max_boxes == model.rpn_head.test_cfg.max_per_img


def test_points_whose_boxes_are_found_in_another_way(tiny, build, monkeypatch):
    model = build()
    other = type("Other", (type(model.rpn_head),), {"predict_by_feat": None})
    monkeypatch.setattr(model.rpn_head, "__class__", other)
    with pytest.raises(ConfigError, match="rpn_head Other cannot be lowered; supported is FCOS"):
        lower(model, tiny.pipeline)
