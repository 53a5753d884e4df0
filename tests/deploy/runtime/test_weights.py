"""Stored weights: the weights of training, and integers that stand for them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.deploy.runtime.weights import MAX_WEIGHT, TWO_TERM, StoredWeight
from lbwdet.quantizers import QuantizedWeight, build_quantizer
from lbwdet.quantizers import levels as quantizer_levels

GRANULARITIES = st.sampled_from(["tensor", "channel"])
SETTINGS = st.fixed_dictionaries(
    {
        "bit_width": st.integers(1, 8),
        "code": st.sampled_from(["paper", "dense"]),
        "granularity": GRANULARITIES,
    }
) | st.fixed_dictionaries(
    {
        "bit_width": st.sampled_from(sorted(TWO_TERM)),
        "code": st.just("two-term"),
        "granularity": GRANULARITIES,
    }
)


def stored(quantized: QuantizedWeight, code: str) -> StoredWeight:
    codes = quantized.codes.numpy()
    zeros = np.zeros(len(codes), np.float32)
    scale = quantized.scale.reshape(-1).numpy()
    return StoredWeight(
        codes, scale, code, quantized.bit_width, quantized.num_magnitudes, zeros + 1, zeros
    )


@given(SETTINGS, st.integers(0, 99), st.sampled_from([1e-38, 1e-3, 1.0, 1e30]))
def test_dequantized_they_are_the_quantizers_weights(settings, seed, size):
    weight = torch.randn(3, 4, 2, 3, generator=torch.Generator().manual_seed(seed)) * size
    quantizer = build_quantizer(**settings)
    result = stored(quantizer.quantize(weight), settings["code"]).dequantize()
    assert result.dtype == np.float32
    assert np.array_equal(result, quantizer.fake_quantize(weight).numpy())


def test_levels_of_channels_of_different_size():
    """31 magnitudes: each channel has a table of its own seven highest."""
    codes = np.array([[31, 25, 24, 0, -31], [5, -1, 7, 0, -7], [30, 24, 23, 0, 1]], np.int8)
    ones = np.ones(3, np.float32)
    layer = StoredWeight(codes[:, :, None, None], ones, "paper", 6, 31, ones, ones)
    levels, scale = layer.levels()
    assert levels.of.tolist() == [2, 0, 1] and levels.tables.shape == (3, 256)
    assert levels.integers(codes).tolist() == [
        [64, 1, 0, 0, -64],
        [16, -1, 64, 0, -64],
        [64, 1, 0, 0, 0],
    ]
    assert scale.tolist() == [2.0**-6, 2.0**-30, 2.0**-7]
    assert np.array_equal(layer.integers().integers[..., 0, 0], levels.integers(codes))
    assert layer.integers().dropped == 3


@given(SETTINGS, st.integers(0, 99))
def test_integers_times_scale_are_the_weights_but_for_the_dropped(settings, seed):
    weight = torch.randn(3, 40, 1, 2, generator=torch.Generator().manual_seed(seed)) ** 3
    layer = stored(build_quantizer(**settings).quantize(weight), settings["code"])
    exact, integers = layer.dequantize().astype(np.float64), layer.integers()
    assert integers.integers.dtype == np.int8 and np.abs(integers.integers).max() <= MAX_WEIGHT
    value = integers.integers * integers.scale[:, None, None, None]
    different = value != exact
    assert different.sum() == integers.dropped
    assert not value[different].any()
    if layer.num_magnitudes <= 7 or layer.code == "two-term":
        assert integers.dropped == 0
    largest = np.abs(exact).max((1, 2, 3), keepdims=True)
    assert (np.abs(exact) < largest / 64)[different].all()


def test_the_two_term_magnitudes_are_those_of_training():
    assert TWO_TERM == quantizer_levels.TWO_TERM


def test_the_window_is_that_of_the_channel():
    """Codes 16 to 10 fill the first channel's window; the second one's goes from 9 down."""
    codes = np.array([[16, 10, 9, -1], [9, 3, 2, 0]], np.int8).reshape(2, 4, 1, 1)
    ones = np.ones(2, np.float32)
    result = StoredWeight(codes, np.ones(1, np.float32), "paper", 6, 16, ones, ones).integers()
    assert result.integers.reshape(2, 4).tolist() == [[64, 1, 0, 0], [64, 1, 0, 0]]
    assert result.scale.tolist() == [1 / 64, 2.0 ** (9 - 16) / 64]
    assert result.dropped == 3


def test_uniform_codes_are_the_integers():
    codes = np.array([64, -64, 0, 5], np.int8).reshape(2, 2, 1, 1)
    ones = np.ones(2, np.float32)
    layer = StoredWeight(codes, np.array([0.5, 3], np.float32), "uniform", 8, 0, ones, ones)
    assert layer.dequantize().reshape(-1).tolist() == [32, -32, 0, 15]
    assert np.array_equal(layer.integers().integers, codes)
    assert layer.integers().scale.tolist() == [0.5, 3] and layer.integers().dropped == 0


@pytest.mark.parametrize("bit_width", [2, 4])
def test_a_layer_of_zeros_stays_zero(bit_width):
    layer = stored(build_quantizer(bit_width).quantize(torch.zeros(2, 3, 1, 1)), "paper")
    assert not layer.dequantize().any() and not layer.integers().integers.any()
