import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operations.depth_to_space import DepthToSpace
from lbwdet.deploy.runtime.shapes import Map, Shapes, Side
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("seed", range(10))
def test_number_by_number(seed):
    case = DepthToSpace.example(np.random.default_rng(seed))
    x, f, found = case.values["x"], case.operation.factor, compute_alone(case)
    depth = x.shape[3] // f**2
    assert found.shape == (x.shape[0], x.shape[1] * f, x.shape[2] * f, depth)
    for y, column, k in np.ndindex(found.shape[1:]):
        source = x[:, y // f, column // f, ((y % f) * f + column % f) * depth + k]
        assert np.array_equal(found[:, y, column, k], source)


def test_of_no_regions():
    case = DepthToSpace.example(np.random.default_rng(0))
    none = dataclasses.replace(case, values={"x": case.values["x"][:0]})
    assert compute_alone(none).shape == (0, *compute_alone(case).shape[1:])


def test_channels_that_make_no_blocks():
    case = DepthToSpace.example(np.random.default_rng(0))
    changed = dataclasses.replace(case.operation, factor=7)
    with pytest.raises(ArtifactError, match="channels make no blocks of 7 x 7 pixels"):
        check_alone(dataclasses.replace(case, operation=changed))


def test_sides_of_every_image():
    shapes = Shapes({}, {})
    shapes.values["x"] = Map(8, Side(16), Side(0, 14))
    assert DepthToSpace("x", "y", 2).infer(shapes) == Map(2, Side(32), Side(0, 28))
    shapes.values["x"] = Map(8, Side(16, 1, 3), Side(0, 14))
    with pytest.raises(ArtifactError, match="rounded down"):
        DepthToSpace("x", "y", 2).infer(shapes)
