import numpy as np
import pytest
import torch

from lbwdet.errors import ConfigError, LBWError
from lbwdet.quantizers import (
    BIT_WIDTHS,
    BinaryQuantizer,
    PowerOfTwoQuantizer,
    QuantizedWeight,
    SortQuantizer,
    ThresholdQuantizer,
    build_quantizer,
    num_magnitudes,
)


def test_defaults():
    quantizer = build_quantizer()
    assert type(quantizer) is PowerOfTwoQuantizer
    assert repr(quantizer) == (
        "PowerOfTwoQuantizer(bit_width=6, code='paper', solver='exact', granularity='tensor')"
    )


def test_32_bits_are_float():
    assert build_quantizer(32) is None
    for settings in (dict(code="two-term"), dict(solver="sort"), dict(solver="threshold", mu=0.5)):
        assert build_quantizer(32, **settings) is None


@pytest.mark.parametrize(
    "arguments, kind",
    [
        (dict(bit_width=1), BinaryQuantizer),
        (dict(bit_width=2, solver="sort"), SortQuantizer),
        (dict(bit_width=3, solver="threshold", mu=0.5), ThresholdQuantizer),
        (dict(bit_width=8, code="dense", granularity="channel"), PowerOfTwoQuantizer),
    ],
)
def test_solvers(arguments, kind):
    assert type(build_quantizer(**arguments)) is kind


def test_bit_width_is_an_int_whatever_number_was_given():
    for given in (4.0, np.int64(4)):
        quantizer = build_quantizer(given)
        assert type(quantizer.bit_width) is type(quantizer.num_magnitudes) is int


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(bit_width=7.5), r"bit_width=7\.5 is not supported; choose 1 to 8, or 32"),
        (dict(bit_width=0), "bit_width=0 is not supported"),
        (dict(bit_width=True), "bit_width=True is not supported"),
        (dict(bit_width="6"), "bit_width='6' is not supported"),
        (dict(code="dens"), "code='dens' is not known; choose one of paper, dense"),
        (dict(solver="exat"), "solver='exat' is not known; choose one of exact, threshold, sort"),
        (dict(solver="data"), "solver='data' chooses levels by a layer's inputs"),
        (dict(bit_width=32, solver="exat"), "solver='exat' is not known"),
        (dict(bit_width=32, code="dens"), "code='dens' is not known"),
        (dict(bit_width=32, granularity="row"), "granularity='row' is not known"),
        (dict(bit_width=32, mu=0.5), r"solver='exact' does not take the options \['mu'\]"),
        (dict(solver=["exact"]), r"solver=\['exact'\] is not known"),
        (dict(solver="threshold", mu="much"), "mu='much' is a fraction"),
        (dict(solver="threshold", mu=[1]), r"mu=\[1\] is a fraction"),
        (dict(granularity="row"), "granularity='row' is not known; choose one of tensor, channel"),
        (dict(mu=0.5), r"solver='exact' does not take the options \['mu'\]"),
        (dict(bit_width=2, solver="threshold"), "needs at least two magnitudes"),
        (dict(bit_width=3, solver="sort"), "solver='sort' is for ternary weights"),
        (dict(bit_width=1, solver="sort"), "solver='sort' is for ternary weights"),
        (dict(solver="threshold", mu=0), "mu=0 is a fraction"),
        (dict(solver="threshold", mu=float("nan")), "mu=nan is a fraction"),
    ],
)
def test_errors_say_what_is_allowed(arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build_quantizer(**arguments)
    assert isinstance(caught.value, LBWError) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize("bit_width", [0, 9, 32])
def test_the_classes_check_the_bit_width_themselves(bit_width):
    with pytest.raises(ConfigError, match=f"bit_width={bit_width}"):
        PowerOfTwoQuantizer(bit_width)


def test_binary_is_one_bit():
    with pytest.raises(ConfigError, match="bit_width=1, not 2"):
        BinaryQuantizer(2)


@pytest.mark.parametrize("code", ["paper", "dense"])  # of two-term codes: test_two_term.py
@pytest.mark.parametrize("bit_width", BIT_WIDTHS)
def test_weights_that_are_levels_stay_what_they_are(bit_width, code):
    number = num_magnitudes(bit_width, code)
    codes = torch.arange(-number, number + 1).to(torch.int8)
    if bit_width == 1:
        codes = codes[codes != 0]
    quantizer = build_quantizer(bit_width, code)
    for exponent in (number - 127, 5, 100):  # the first has its lowest level at 2**-126
        levels = QuantizedWeight(codes, torch.tensor(2.0**exponent), bit_width, number).dequantize()
        # The top level often enough that it is worth having.
        weight = torch.cat([levels, levels[[0, -1]].repeat(50)])
        quantized = quantizer.quantize(weight)
        assert torch.equal(quantized.codes[: len(codes)], codes)
        assert quantized.scale_exponent == exponent
        assert torch.equal(quantized.dequantize(), weight)
