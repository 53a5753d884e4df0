import dataclasses

import numpy as np
import pytest
import torch

from lbwdet.deploy.calibrate import calibrate, quantized_values
from lbwdet.deploy.float_program import fake_quantize
from lbwdet.deploy.histogram import METHODS, Histogram, affine, fit, squared_error
from lbwdet.deploy.runtime.operations import Conv, MaxPool, Quantization, Requantize
from lbwdet.errors import ConfigError, DataError


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


@pytest.fixture(scope="module")
def images(tiny):
    return [("noise", tiny.image), ("dark", tiny.image // 3)]


class TestCalibrate:
    def test_every_value_that_is_stored(self, tiny, images):
        program, weights = tiny.lowered.program, tiny.lowered.weights
        calibrated = calibrate(program, weights, images, "minmax")
        assert list(calibrated.quantizations) == quantized_values(program)
        assert calibrated.operations == program.operations
        for operation in program.operations:
            if isinstance(operation, MaxPool):
                own, source = operation.output, operation.input
                assert calibrated.quantizations[own] == calibrated.quantizations[source]
            if isinstance(operation, Conv) and operation.relu:
                assert calibrated.quantizations[operation.output].zero_point == 0
            if isinstance(operation, Conv) and operation.layer.endswith(("_cls", "_reg")):
                assert operation.output not in calibrated.quantizations
        ends = calibrated.quantizations["input"]
        low, high = (np.float64(0 - 123.675) / 58.395), (255 - 103.53) / 57.375
        assert ends.scale == pytest.approx((high - low) / 255, rel=1e-3)

    def test_the_same_images_give_the_same_program_in_any_order(self, tiny, images):
        arguments = (tiny.lowered.program, tiny.lowered.weights)
        assert calibrate(*arguments, images) == calibrate(*arguments, images[::-1])

    def test_trained_quantizations_come_first(self, tiny, images):
        program, weights = tiny.lowered.program, tiny.lowered.weights
        stem = Quantization(0.02, 110)
        alone, shared = Quantization(0.05, 0, 255, "ceil"), Quantization(0.25, 0, 15, "ceil")
        trained = {
            "backbone.conv1": stem,
            "backbone.layer1.0.conv1": shared,  # reads what max pooling makes of conv1's output
            "backbone.layer1.0.conv2": alone,
        }
        calibrated = calibrate(program, weights, images, trained=trained)
        found = calibrated.quantizations
        assert found["input"] == stem
        assert found["backbone.layer1.0.conv1"] == alone
        pooled = "backbone.maxpool:max_pool2d"  # a residual, too
        assert found["backbone.conv1"] == found[pooled] and found[pooled].maximum == 255
        (operation,) = (op for op in calibrated.operations if isinstance(op, Requantize))
        assert operation.input == pooled and found[operation.output] == shared

    def test_bad_input(self, tiny, images):
        program, weights = tiny.lowered.program, dict(tiny.lowered.weights)
        with pytest.raises(DataError, match="no images to calibrate on"):
            calibrate(program, weights, [])
        with pytest.raises(ConfigError, match="method='max' is not known"):
            calibrate(program, weights, images, "max")
        name = "backbone.layer1.0.conv2"
        gain = np.full_like(weights[name].gain, np.nan)
        weights[name] = dataclasses.replace(weights[name], gain=gain)
        with pytest.raises(DataError, match=f"noise: values are NaN or infinite after {name}"):
            calibrate(program, weights, images)
