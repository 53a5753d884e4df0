from dataclasses import replace

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError

FEATURES = dict(
    feat_channels=8,
    start_level=0,
    end_level=2,
    out_channels=8,
    mask_stride=4,
    norm_cfg=dict(type="GN", num_groups=4),
)


@pytest.fixture(scope="module")
def model(grid_masks):
    return grid_masks("SOLOv2", type="SOLOV2Head", mask_feature_head=FEATURES)


def test_equals_mmdetection_and_the_engines_each_other(whole, tiny, model):
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    kinds = {type(operation).__name__ for operation in lowered.program.operations}
    assert {"Coordinates", "DynamicMasks", "MatrixSuppress", "Peaks", "Picked"} <= kinds
    whole.check_engines(lowered, tiny.image)


def test_fewer_masks_than_candidates(whole, tiny, model, monkeypatch):
    """What is not among the best by class alone is not looked at."""
    monkeypatch.setattr("lbwdet.deploy.lower.grid_masks.MOST_MASKS", 1)
    lowered = lower(model, tiny.pipeline)
    (candidates,) = (op for op in lowered.program.operations if hasattr(op, "pre_nms"))
    assert candidates.pre_nms == 40
    operations = tuple(
        replace(op, pre_nms=3) if op is candidates else op for op in lowered.program.operations
    )
    program = replace(lowered.program, operations=operations)
    _, (_, scores, *_) = whole.in_reals(replace(lowered, program=program), tiny.image)
    assert 0 < len(scores) <= 3


def test_features_that_are_made_otherwise(tiny, model, monkeypatch):
    features = model.mask_head.mask_feature_head
    other = type("Other", (type(features),), {"forward": None})
    monkeypatch.setattr(features, "__class__", other)
    with pytest.raises(ConfigError, match="mask_feature_head Other cannot be lowered"):
        lower(model, tiny.pipeline)


def test_kernels_of_more_than_a_pixel(tiny, grid_masks):
    larger = grid_masks(
        "SOLOv2", type="SOLOV2Head", mask_feature_head=FEATURES, dynamic_conv_size=3
    )
    with pytest.raises(ConfigError, match="dynamic_conv_size=3 cannot be lowered; give 1"):
        lower(larger, tiny.pipeline)


def test_another_kernel_of_the_suppression(tiny, grid_masks):
    test = dict(kernel="linear")
    linear = grid_masks("SOLOv2", test, type="SOLOV2Head", mask_feature_head=FEATURES)
    with pytest.raises(ConfigError, match="kernel='linear' cannot be lowered; give 'gaussian'"):
        lower(linear, tiny.pipeline)
