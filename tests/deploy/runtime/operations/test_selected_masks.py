import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.selected_masks import SelectedMasks
from lbwdet.errors import ArtifactError


def example(apart):
    random = np.random.default_rng(0)
    values = {
        f"{name}{level}": random.normal(0, 2, (1, *sides, grid if apart else grid**2)).astype(
            np.float32
        )
        for level, (grid, sides) in enumerate(((3, (8, 10)), (2, (4, 5))))
        for name in ("x", "y")[: 1 + apart]
    }
    rows = np.zeros((3, 7), np.float32)
    rows[:, 6] = 5, 11, 2
    others = ("y0", "y1") if apart else ()
    operation = SelectedMasks(("x0", "x1"), "rows", "out", (3, 2), others)
    return Example(operation, {**values, "rows": rows})


def resized(made, name, channel):
    x = torch.from_numpy(made.values[name]).permute(0, 3, 1, 2).sigmoid()
    return F.interpolate(x, size=(8, 10), mode="bilinear")[0, channel].numpy()


def test_a_channel_for_each_cell():
    made = example(apart=False)
    expected = [resized(made, "x0", 5), resized(made, "x1", 2), resized(made, "x0", 2)]
    np.testing.assert_allclose(compute_alone(made)[..., 0], expected, atol=1e-6)


def test_a_channel_for_each_column_and_one_for_each_row():
    made = example(apart=True)
    expected = [
        resized(made, f"x{level}", x) * resized(made, f"y{level}", y)
        for level, x, y in ((0, 2, 1), (1, 0, 1), (0, 2, 0))
    ]
    np.testing.assert_allclose(compute_alone(made)[..., 0], expected, atol=1e-6)


def test_channels_for_another_grid():
    made = example(apart=False)
    wrong = dataclasses.replace(made.operation, grids=(3, 3))
    quantized = SelectedMasks.example(np.random.default_rng(0)).quantizations["x0"]
    values = {
        name: x if name == "rows" else np.zeros(x.shape, np.uint8)
        for name, x in made.values.items()
    }
    case = dataclasses.replace(
        made, operation=wrong, values=values, quantizations={"x0": quantized, "x1": quantized}
    )
    with pytest.raises(ArtifactError, match="4 channels for a grid of 3"):
        check_alone(case)
