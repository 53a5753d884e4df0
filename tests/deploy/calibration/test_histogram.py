import numpy as np
import pytest
import torch

from lbwdet.deploy.float_program import fake_quantize
from lbwdet.deploy.histogram import METHODS, Histogram, affine, fit, squared_error
from lbwdet.deploy.runtime.operations import Quantization


def histogram(*tensors):
    result = Histogram()
    for tensor in tensors:
        result.add(tensor)
    return result


def error(values, quantization):
    return float((fake_quantize(values, quantization) - values).square().sum())


class TestHistogram:
    def test_counts_all_but_zeros_in_any_order(self):
        parts = [torch.randn(1000) * scale for scale in (0.01, 30.0, 1.0)]
        parts[0][:100] = 0
        there, back = histogram(*parts), histogram(*parts[::-1])
        np.testing.assert_array_equal(there.counts, back.counts)
        assert there.counts.sum() == 2900 and there.limit == back.limit
        values = torch.cat(parts)
        assert (there.low, there.high) == (values.min().item(), values.max().item())
        assert there.limit / 2 <= values.abs().max() < there.limit

    def test_of_nothing(self):
        assert fit(histogram(), "mse") == fit(histogram(torch.zeros(5)), "minmax")
        assert fit(histogram(torch.zeros(0)), "percentile").scale == 1.0

    def test_squared_error_is_that_of_the_values(self):
        values = torch.randn(100_000) * 3
        for quantization in (affine(-4, 9), Quantization(0.1), Quantization(0.4, 0, 15, "ceil")):
            measured = squared_error(histogram(values), quantization)
            assert measured == pytest.approx(error(values, quantization), rel=0.02)


def test_zero_is_a_level():
    for low, high in ((0.0, 3.0), (-1.0, 2.0), (-5.0, -1.0), (1.0, 2.0), (0.0, 0.0)):
        quantization = affine(low, high)
        assert fake_quantize(torch.zeros(1), quantization).item() == 0
        assert quantization.scale == float(np.float32(quantization.scale)) > 0
        ends = fake_quantize(torch.tensor([low, high]), quantization)
        assert (ends - torch.tensor([low, high])).abs().max() <= quantization.scale


def test_methods():
    values = torch.cat([torch.randn(200_000), torch.tensor([-40.0, 60.0])])
    ranges = {method: fit(histogram(values), method) for method in METHODS}
    assert ranges["minmax"].scale == pytest.approx(100 / 255, rel=1e-5)
    assert ranges["percentile"].scale == pytest.approx(2 * 3.72 / 255, rel=0.1)
    errors = {method: error(values, q) for method, q in ranges.items()}
    assert errors["mse"] < min(errors["minmax"], errors["percentile"])
    positive = fit(histogram(values.relu()), "mse")
    assert positive.zero_point == 0 and positive.maximum == 255
