import numpy as np
import pytest
import torch
from mmdet.models.utils import aligned_bilinear
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.resize import Resize
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Map, Shapes, Side
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(
    ("sides", "factor", "divisor", "size"),
    [
        ((5, 7), (2, 4), (1, 1), (10, 28)),
        ((8, 6), (1, 1), (2, 3), (4, 2)),
        ((1, 6), (3, 1), (1, 6), (3, 1)),
        ((5, 7), None, None, (9, 3)),
    ],
)
def test_torch_finds_the_same(align, sides, factor, divisor, size):
    x = np.random.default_rng(0).integers(0, 256, (2, *sides, 5)).astype(np.uint8)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(x).permute(0, 3, 1, 2).double(),
        size=size,
        mode="bilinear",
        align_corners=align,
    )
    expected = expected.permute(0, 2, 3, 1).numpy()
    values = {"x": x}
    if factor is None:
        operation = Resize("x", "y", like="like", align_corners=align)
        values["like"] = np.zeros((2, *size, 1), np.uint8)
    else:
        operation = Resize("x", "y", factor, divisor, align_corners=align)
    found = compute_alone(Example(operation, {n: v.astype(np.float32) for n, v in values.items()}))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    found = compute_alone(
        Example(operation, values, dict.fromkeys((*values, "y"), Quantization(1.0)))
    )
    assert found.dtype == np.uint8
    # weights are off by 1 / 4096 at most, along each axis, and so is the sum of 255 times that
    assert np.abs(found - expected).max() <= 0.5 + 2 * 255 / 4096


def test_sides_for_every_image():
    shapes = Shapes({}, {})
    shapes.values["x"] = Map(3, Side(8), Side(4))
    assert Resize("x", "y", (2, 1), (1, 2)).infer(shapes).size == (Side(16), Side(2))
    shapes.values["x"] = Map(3, Side(1, 1, 2), Side(4))
    assert Resize("x", "y", (1, 1), (1, 4)).infer(shapes).size == (Side(1, 1, 2), Side(1))
    with pytest.raises(ArtifactError, match="the input's sides are rounded down"):
        Resize("x", "y", (2, 2)).infer(shapes)


def test_a_factor_or_a_map():
    x = np.zeros((1, 2, 3, 4), np.uint8)
    example = Example(
        Resize("x", "y", (2, 2), like="like"),
        {"x": x, "like": x},
        dict.fromkeys(["x", "y", "like"], Quantization(1.0)),
    )
    with pytest.raises(ArtifactError, match="a factor, or another map's size, of which one"):
        check_alone(example)


def test_to_the_same_size_for_every_image():
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (1, 9, 4, 3)).astype(np.float32)
    found = compute_alone(Example(Resize("x", "y", size=(5, 7)), {"x": x}))
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2)
    expected = F.interpolate(tensor, size=(5, 7), mode="bilinear").permute(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_aligned_as_condinst_has_it():
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (1, 4, 5, 2)).astype(np.float32)
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2)
    for factor in (1, 2, 4, 5):
        found = compute_alone(Example(Resize("x", "y", (factor, factor), aligned=True), {"x": x}))
        expected = aligned_bilinear(tensor, factor).permute(0, 2, 3, 1)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_aligned_by_no_whole_factor():
    example = Example(
        Resize("x", "y", (3, 3), (2, 2), aligned=True),
        {"x": np.zeros((1, 2, 2, 1), np.uint8)},
        dict.fromkeys(["x", "y"], Quantization(1.0)),
    )
    with pytest.raises(ArtifactError, match="aligned, but not by a whole factor alone"):
        check_alone(example)
