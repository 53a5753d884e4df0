import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.pad import Pad
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Map, Shapes, Side
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize(("value", "number"), [(0.0, 77), (1.0, 81), (-1e6, 0), (100.0, 255)])
def test_pixels_of_a_number(value, number):
    x = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
    example = Example(
        Pad("x", "y", (1, 0), (2, 3), value), {"x": x}, dict.fromkeys("xy", Quantization(0.25, 77))
    )
    found = compute_alone(example)
    assert found.shape == (1, 6, 5, 2) == (1, *(s.smallest for s in check_alone(example).size), 2)
    assert np.array_equal(found[:, 1:4, :2], x)
    found[:, 1:4, :2] = number
    assert (found == number).all()
    reals = compute_alone(Example(example.operation, {"x": x.astype(np.float32)}))
    assert reals[0, 0, 0, 0] == value


def test_mirrored_as_pytorch_does():
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 2), np.uint8)
    quantizations = dict.fromkeys("xy", Quantization(0.25, 77))
    operation = Pad("x", "y", (2, 3), (1, 0), reflect=True)
    planes = torch.from_numpy(x).permute(0, 3, 1, 2).float()
    expected = F.pad(planes, (3, 0, 2, 1), mode="reflect").permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(
        compute_alone(Example(operation, {"x": x}, quantizations)), expected
    )


def test_a_map_too_small_to_be_mirrored():
    shapes = Shapes({}, {})
    shapes.values["x"] = Map(3, Side(8), Side(2))
    with pytest.raises(ArtifactError, match="not as many pixels as are mirrored"):
        Pad("x", "y", (0, 1), (1, 2), reflect=True).infer(shapes)


def test_sides_for_every_image():
    shapes = Shapes({}, {})
    shapes.values["x"] = Map(3, Side(8), Side(1, 1, 2))
    found = Pad("x", "y", (0, 1), (1, 0)).infer(shapes)
    assert found.size == (Side(8, 1), Side(1, 3, 2))  # (m + 1) // 2 + 1
