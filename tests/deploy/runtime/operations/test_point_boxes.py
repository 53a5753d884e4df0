import numpy as np
import pytest
import torch
from mmdet.models.dense_heads import RepPointsHead

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.point_boxes import PointBoxes
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize(
    ("method", "points"), [("minmax", 9), ("partial_minmax", 4), ("moment", 9)]
)
def test_boxes_are_those_of_mmdetection(method, points):
    x = np.random.default_rng(0).normal(0, 3, (1, 5, 7, 18)).astype(np.float32)
    head = RepPointsHead(2, 8, feat_channels=8, point_feat_channels=8, transform_method=method)
    spread = ()
    if method == "moment":
        head.moment_transfer.data[:] = torch.tensor([0.3, -0.2])
        spread = tuple(head.moment_transfer.detach().exp().tolist())
    with torch.no_grad():
        expected = head.points2bbox(torch.from_numpy(x).permute(0, 3, 1, 2))
    expected = expected.permute(0, 2, 3, 1).numpy() * np.float32([-1, -1, 1, 1])
    found = compute_alone(Example(PointBoxes("x", "y", points, spread), {"x": x}))
    assert found.dtype == np.float32 and found.shape == (1, 5, 7, 4)
    assert np.allclose(found, expected, atol=1e-5)


def test_no_zero_has_a_sign():
    x = np.float32([[[[0.0, -0.0, -0.0, 0.0]]]])
    found = compute_alone(Example(PointBoxes("x", "y", 2), {"x": x}))
    assert not np.signbit(found).any()


@pytest.mark.parametrize(
    ("channels", "points", "spread", "message"),
    [
        (3, 1, (), "3 places are no 1 points"),
        (4, 3, (), "4 places are no 3 points"),
        (6, 2, (1.0, 1.0), "spread is not that of all points"),
        (2, 1, (1.0, 1.0), "spread is not that of all points"),
        (4, 2, (1.0,), "spread is not that of all points"),
    ],
)
def test_places_that_do_not_fit_are_refused(channels, points, spread, message):
    x = np.zeros((1, 2, 2, channels), np.float32)
    with pytest.raises(ArtifactError, match=message):
        check_alone(Example(PointBoxes("x", "y", points, spread), {"x": x}))
