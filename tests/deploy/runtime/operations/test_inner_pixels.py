import numpy as np

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.inner_pixels import InnerPixels
from lbwdet.deploy.runtime.quantization import Quantization


def test_the_rim_is_zero():
    x = np.full((1, 4, 60, 2), 9, np.uint8)
    code = Quantization(0.5, 7)
    found = compute_alone(Example(InnerPixels("x", "y"), {"x": x}, {"x": code, "y": code}))
    assert (found[:, :, [0, -1]] == 7).all() and (found[:, :, 1:-1] == 9).all()
    reals = compute_alone(Example(InnerPixels("x", "y", 0.2), {"x": x.astype(np.float32)}))
    assert not reals[:, [0, -1]].any() and (reals[:, 1:-1, 12:48] == 9).all()
