import numpy as np
import pytest
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.preprocess import preprocess
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.context import Run
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.testing import random_image

GREY_LEVEL = 1 / 57  # a grey level in normalized units, and the quantization's step


@pytest.mark.parametrize(
    "pad",
    [
        {},
        dict(pad_to_square=True, pad_pixel=(114, 7, 250)),
        dict(pad_size=(100, 150), pad_pixel=(114,) * 3, pad_value=-0.25),
        dict(pad_divisor=48, pad_pixel=(114,) * 3),
    ],
)
@pytest.mark.parametrize(
    ("shape", "size", "keep_ratio", "to_rgb"),
    [
        ((75, 100), (128, 96), True, True),
        ((300, 90), (96, 128), True, False),
        ((50, 60), (70, 90), False, True),
        ((1, 1), (64, 32), True, True),
        ((3, 2000), (64, 32), True, True),
        ((96, 128), (128, 96), True, True),
    ],
)
def test_a_grey_level_away_at_most(run, shape, size, keep_ratio, to_rgb, pad):
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    operation = Preprocess("x", size, keep_ratio, mean, std, to_rgb, 32, **pad)
    quantizations = {"x": Quantization(float(np.float32(GREY_LEVEL)), 118)}
    values = Values(Graph(), quantizations, {}, {})
    stored = preprocess(operation, values)
    values.graph.output("out", TensorProto.UINT8, [1, 3, "a", "b"], stored)
    for name in ("size", "factor"):
        values.graph.output(name, TensorProto.FLOAT, [2], getattr(values, name))
    image = random_image(0, *shape)
    found, size, factor = run(values.graph.model({}), {"image": image})
    reference = Run(quantizations, {}, image)
    expected = operation.compute(reference)
    assert found.shape == expected.transpose(0, 3, 1, 2).shape
    steps = found.transpose(0, 2, 3, 1).astype(int) - expected
    assert np.abs(steps).max() <= 2  # a grey level that falls between two steps
    assert (steps != 0).mean() < 0.2
    assert size.tolist() == list(reference.bounds[::-1])
    height, width = reference.resized
    assert np.allclose(factor, [shape[1] / width, shape[0] / height])
