import numpy as np

from lbwdet.deploy.calibration.convolution import convolve
from lbwdet.deploy.runtime.arithmetic import convolution
from lbwdet.deploy.runtime.operations.conv import Conv


def test_it_is_the_reference_but_for_the_order_of_sums():
    for seed in range(30):
        random = np.random.default_rng(seed)
        example = Conv.example(random)
        operation, weight = example.operation, example.weights["layer"]
        x = random.normal(0, 1, example.values["x"].shape).astype(np.float32)
        settings = (operation.stride, operation.padding, operation.dilation, operation.groups)
        for factors in (weight.integers().integers, weight.dequantize()):
            found = convolve(factors, x, *settings)
            expected = convolution.convolve(factors, x, *settings)
            assert found.dtype == np.float32 and found.flags.c_contiguous
            np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max() + 1e-6)
