import pytest

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError


@pytest.fixture(scope="module")
def build(one_stage):
    def build(**changes):
        model = one_stage(
            {"detector": "RepPointsDetector", "train_cfg": None},
            type="RepPointsHead",
            feat_channels=16,
            point_feat_channels=16,
            stacked_convs=1,
            point_strides=[8, 16, 32, 64, 128],
            norm_cfg=dict(type="GN", num_groups=4, requires_grad=True),
            **changes,
        )
        if changes["transform_method"] == "moment":
            model.bbox_head.moment_transfer.data.uniform_(0.2, 0.8)
        return model

    return build


@pytest.mark.parametrize(
    ("method", "center", "points"),
    [("moment", True, 9), ("minmax", False, 9), ("partial_minmax", True, 4)],
)
def test_equals_mmdetection_and_runs_in_integers(whole, tiny, build, method, center, points):
    model = build(transform_method=method, center_init=center)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [type(operation).__name__ for operation in lowered.program.operations]
    assert kinds.count("PointBoxes") == 5
    assert kinds.count("Mix") == kinds.count("DeformedSamples") == 10
    boxes = lowered.program.operations[-5]
    assert boxes.points == points and bool(boxes.spread) == (method == "moment")


@pytest.mark.parametrize("center", [True, False])
def test_points_in_a_grid(whole, tiny, build, center):
    model = build(transform_method="minmax", use_grid_points=True, center_init=center)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [type(operation).__name__ for operation in lowered.program.operations]
    assert kinds.count("NextDeltas") == kinds.count("Mix") == 5


def test_other_boxes_of_a_grid_are_refused(tiny, build):
    model = build(transform_method="moment", use_grid_points=True)
    with pytest.raises(ConfigError, match="transform_method='moment' of points in a grid"):
        lower(model, tiny.pipeline)
