"""From 8 bits to what a layer was trained with: as if the real number had been rounded once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.deploy.histogram import codes, real
from lbwdet.deploy.runtime.operations import Quantization
from lbwdet.deploy.runtime.requantize_table import requantize_table

steps = st.floats(1e-3, 1e3).map(np.float32).map(float)
seeds = st.integers(0, 2**32 - 1)
roundings = st.sampled_from(["nearest", "ceil"])


def quantizations(maximum):
    return st.builds(Quantization, steps, st.integers(0, maximum), st.just(maximum), roundings)


def away_from_edges(values, quantization):
    """Those whose integer does not hang on the last bits of a step."""
    ratio = values / quantization.scale
    edges = np.round(2 * ratio) / 2
    return values[np.abs(ratio - edges) > 1e-4]


@given(steps, st.integers(1, 40), st.sampled_from([1, 3, 15, 31]), seeds)
def test_rounding_up_twice_is_rounding_up_once(step, parts, maximum, seed):
    wanted = Quantization(step, 0, maximum, "ceil")
    stored = Quantization(float(np.float32(step / parts)), 0, 255, "ceil")
    values = np.random.default_rng(seed).uniform(-step, 255 / parts * step, 500)
    values = away_from_edges(values, stored)
    found = requantize_table(stored, wanted)[codes(values, stored)]
    assert np.array_equal(found, codes(values, wanted))


@given(steps, st.integers(0, 8), st.integers(0, 15), seeds)
def test_so_is_rounding_to_the_nearest_with_odd_parts(step, half, zero_point, seed):
    parts = 2 * half + 1
    wanted = Quantization(step, zero_point, 15)
    stored = Quantization(float(np.float32(step / parts)), 120, 255)
    values = np.random.default_rng(seed).uniform(-120 / parts * step, 135 / parts * step, 500)
    values = away_from_edges(values, stored)
    found = requantize_table(stored, wanted)[codes(values, stored)]
    assert np.array_equal(found, codes(values, wanted))


@given(quantizations(255), quantizations(15), seeds)
def test_any_steps(stored, wanted, seed):
    table = requantize_table(stored, wanted)
    assert table.dtype == np.uint8 and table.shape == (256,)
    assert table.max() <= wanted.maximum and (np.diff(table.astype(int)) >= 0).all()
    assert table[stored.zero_point] == wanted.zero_point  # maps are padded with zeros
    # An integer's reals lie within a step around or below it; the table takes one of them,
    # and rounding is monotone.
    low, high = -stored.zero_point * stored.scale, (255 - stored.zero_point) * stored.scale
    values = np.random.default_rng(seed).uniform(low, high, 500)
    found = real(table[codes(values, stored)], wanted)
    below, above = (real(codes(values + shift * stored.scale, wanted), wanted) for shift in (-1, 1))
    assert (below <= found).all() and (found <= above).all()


def test_the_middle_of_what_a_number_stands_for():
    up = Quantization(1.0, 0, 15, "ceil")
    # 5 stands for 4.5 to 5.5 steps of 0.25, or for 4 to 5: middles 1.25 and 1.125
    nearest = requantize_table(Quantization(0.25), up)
    assert nearest[[0, 1, 4, 5, 8, 9]].tolist() == [0, 1, 1, 2, 2, 3]
    other = Quantization(0.3125, 0, 255, "ceil")
    assert requantize_table(other, up)[[0, 1, 3, 4, 6, 7]].tolist() == [0, 1, 1, 2, 2, 3]
    signed = requantize_table(Quantization(0.5, 100), Quantization(1.0, 8, 15))
    assert signed[[0, 97, 98, 99, 100, 101, 102, 103, 255]].tolist() == [
        *[0, 6, 7, 8, 8, 8, 9, 10, 15]  # halves to the even integer
    ]
