import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.query_masks import QueryMasks
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Map, Shapes, Side
from lbwdet.errors import ArtifactError

CODES = {"k": Quantization(0.03125, 120), "f": Quantization(0.0625, 20)}


def example(channels=6):
    random = np.random.default_rng(0)
    shapes = {"k": (1, 2, 3, channels), "f": (1, 4, 5, 6)}
    values = {name: random.integers(0, 256, s).astype(np.uint8) for name, s in shapes.items()}
    return Example(QueryMasks("k", "f", "y"), values, CODES)


def test_products_that_numpy_finds():
    given = example()
    kernels, features = (
        (x.astype(np.float32) - CODES[name].zero_point) * CODES[name].scale
        for name, x in given.values.items()
    )
    expected = np.einsum("qc,hwc->hwq", kernels.reshape(6, 6), features[0])[None]
    found = compute_alone(given)
    assert np.array_equal(found, expected)  # multiples of 1 / 512 below 2**15: exact
    reals = Example(given.operation, {"k": kernels, "f": features})
    np.testing.assert_allclose(compute_alone(reals), expected, rtol=1e-6)


def test_other_channels():
    with pytest.raises(ArtifactError, match="kernels of 7 channels for features of 6"):
        check_alone(example(channels=7))


def test_queries_of_which_larger_images_have_more():
    shapes = Shapes(CODES, {})
    shapes.values["k"] = Map(6, Side(4), Side(0, 3), quantization=CODES["k"])
    shapes.values["f"] = Map(6, Side(8), Side(8), quantization=CODES["f"])
    with pytest.raises(ArtifactError, match="'k' has not as many queries in every image"):
        example().operation.infer(shapes)
