import numpy as np
import pytest

from lbwdet.deploy.calibration.histogram import (
    METHODS,
    Histogram,
    affine,
    codes,
    fit,
    real,
    squared_error,
)
from lbwdet.deploy.runtime.quantization import Quantization

RANDOM = np.random.default_rng(0)


def normal(count):
    return RANDOM.standard_normal(count).astype(np.float32)


def histogram(*arrays):
    result = Histogram()
    for array in arrays:
        result.add(np.float32(array))
    return result


def rounded(values, quantization):
    return real(codes(np.float32(values), quantization), quantization)


def error(values, quantization):
    return float(np.square(rounded(values, quantization) - values).sum())


class TestHistogram:
    def test_counts_all_but_zeros_in_any_order(self):
        parts = [normal(1000) * np.float32(scale) for scale in (0.01, 30.0, 1.0)]
        parts[0][:100] = 0
        there, back = histogram(*parts), histogram(*parts[::-1])
        np.testing.assert_array_equal(there.counts, back.counts)
        assert there.counts.sum() == 2900 and there.limit == back.limit
        values = np.concatenate(parts)
        assert (there.low, there.high) == (values.min(), values.max())
        assert there.limit / 2 <= np.abs(values).max() < there.limit

    def test_of_nothing(self):
        assert fit(histogram(), "mse") == fit(histogram(np.zeros(5)), "minmax")
        assert fit(histogram(np.zeros(0)), "percentile").scale == 1.0

    def test_squared_error_is_that_of_the_values(self):
        values = normal(100_000) * 3
        for quantization in (affine(-4, 9), Quantization(0.1), Quantization(0.4, 0, 15, "ceil")):
            measured = squared_error(histogram(values), quantization)
            assert measured == pytest.approx(error(values, quantization), rel=0.02)


def test_zero_is_a_level():
    for low, high in ((0.0, 3.0), (-1.0, 2.0), (-5.0, -1.0), (1.0, 2.0), (0.0, 0.0)):
        quantization = affine(low, high)
        assert rounded(np.zeros(1), quantization) == 0
        assert quantization.scale == float(np.float32(quantization.scale)) > 0
        ends = rounded([low, high], quantization)
        assert np.abs(ends - [low, high]).max() <= quantization.scale


def test_methods():
    values = np.concatenate([normal(200_000), np.float32([-40.0, 60.0])])
    ranges = {method: fit(histogram(values), method) for method in METHODS}
    assert ranges["minmax"].scale == pytest.approx(100 / 255, rel=1e-5)
    assert ranges["percentile"].scale == pytest.approx(2 * 3.72 / 255, rel=0.1)
    errors = {method: error(values, q) for method, q in ranges.items()}
    assert errors["mse"] < min(errors["minmax"], errors["percentile"])
    positive = fit(histogram(np.maximum(values, 0)), "mse")
    assert positive.zero_point == 0 and positive.maximum == 255


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [
        (Quantization(0.5), [0, 0, 0.5, 1.0, 127.5]),
        (Quantization(0.5, rounding="ceil", maximum=15), [0, 0.5, 0.5, 1.0, 7.5]),
        (Quantization(0.5, zero_point=2), [-1.0, 0, 0.5, 1.0, 126.5]),
    ],
)
def test_integers_and_what_they_stand_for(quantization, expected):
    assert rounded([-9.0, 0.1, 0.4, 1.0, 1000.0], quantization).tolist() == expected


def test_values_that_a_function_reads_are_kept_as_far_as_it_tells_them_apart():
    values = normal(200_000) * 8 - 10
    plain, seen = (fit(histogram(values), "mse", *read_by) for read_by in ((), (relu,)))
    assert seen.zero_point < 5 and seen.scale < plain.scale / 2
    assert squared_error(histogram(values), seen, relu) < squared_error(
        histogram(values), plain, relu
    )
    assert fit(histogram(values), "minmax", relu) == fit(histogram(values), "minmax")


def relu(values):
    return np.maximum(values, 0)
