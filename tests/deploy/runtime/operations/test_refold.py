import numpy as np
import pytest
import torch

from lbwdet.compat.operators.convolutions import _as_indexed
from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.refold import Refold
from lbwdet.deploy.runtime.shapes import Map, Shapes, Side
from lbwdet.errors import ArtifactError


def test_what_mmcv_reads():
    x = np.random.default_rng(0).normal(0, 1, (1, 8, 6, 5)).astype(np.float32)
    values = {"x": x, "like": np.zeros((1, 4, 3, 7), np.float32)}
    found = compute_alone(Example(Refold("x", "like", "y", (3, 2)), values))
    planes = torch.from_numpy(x).permute(0, 3, 1, 2)
    expected = [_as_indexed(part, torch.zeros(1, 1, 4, 3)) for part in planes.split((3, 2), 1)]
    np.testing.assert_array_equal(found, torch.cat(expected, 1).permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("side", "parts", "message"),
    [
        (Side(1, 0, 2), (3, 1), "are not the 5 of the map"),
        (Side(2), (3, 2), "larger than its own"),
        (Side(0, 9), (3, 2), "larger than its own"),
    ],
)
def test_what_does_not_fit(side, parts, message):
    shapes = Shapes({}, {})
    shapes.values = {"x": Map(5, Side(1), Side(1)), "like": Map(7, side, Side(1))}
    with pytest.raises(ArtifactError, match=message):
        Refold("x", "like", "y", parts).infer(shapes)
