import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lbwdet.quantizers import (
    NonFiniteWeightError,
    PowerOfTwoQuantizer,
    build_quantizer,
    power_of_two,
)

TINY = torch.finfo(torch.float32).tiny
BIGGEST = torch.finfo(torch.float32).max
# (bit_width, code) for n = 1, 2, 3, 4, 7, 8, 15, 16 magnitudes
WIDTHS = [
    (2, "paper"),
    (3, "paper"),
    (3, "dense"),
    (4, "paper"),
    (4, "dense"),
    (5, "paper"),
    (5, "dense"),
    (6, "paper"),
]


def with_magnitudes(number: int) -> PowerOfTwoQuantizer:
    quantizer = PowerOfTwoQuantizer(6)
    quantizer.num_magnitudes = number
    return quantizer


def samples(kind: str, size: int) -> torch.Tensor:
    weight = torch.randn(size)
    if kind == "heavy":
        return weight / torch.rand(size).clamp(min=1e-3) ** 2
    if kind == "ties":  # all of them half way between two levels, or on one
        return (
            weight.sign()
            * 2.0 ** torch.randint(-4, 3, (size,))
            * torch.tensor([1.0, 1.5])[torch.randint(2, (size,))]
        )
    if kind == "subnormal":
        return weight * 2.0**-127
    if kind == "huge":
        return weight / weight.abs().max() * BIGGEST
    return weight * 0.02


class TestExactness:
    @pytest.mark.parametrize("number", range(1, 17))
    @pytest.mark.parametrize("kind", ["normal", "heavy", "ties", "subnormal", "huge"])
    def test_no_scale_exponent_is_better(self, number, kind, least_error, error_of):
        for size in (1, 2, 5, 23):
            weight = samples(kind, size)
            result = with_magnitudes(number).fake_quantize(weight)
            error, best = error_of(weight, result), least_error(weight, number)
            # float64 sums choose between exponents that tie to one part in 10**15
            assert error <= best * (1 + 1e-12), (error, best, weight)

    @pytest.mark.parametrize("number", [1, 2, 3, 4])
    def test_no_assignment_is_better(
        self, number, least_error_of_assignments, least_error, error_of
    ):
        for size in (1, 2, 4) if number > 2 else (1, 3, 6):
            weight = (torch.randn(size) * 0.7).clamp(-3, 3)
            weight[weight.abs() < 2**-4] = 0.25  # the enumeration looks at exponents -8 .. 4
            best = least_error_of_assignments(weight, number)
            assert best == least_error(weight, number)
            assert error_of(weight, with_magnitudes(number).fake_quantize(weight)) == best

    @given(
        hnp.arrays("float32", st.integers(1, 8), elements=st.floats(-(2**60), 2**60, width=32)),
        st.integers(1, 16),
    )
    def test_any_floats(self, least_error, error_of, values, number):
        weight = torch.from_numpy(values)
        result = with_magnitudes(number).fake_quantize(weight)
        assert error_of(weight, result) <= least_error(weight, number) * (1 + 1e-12)


class TestDefinedEdges:
    def test_a_tie_between_two_levels_goes_to_the_larger(self):
        weight = torch.tensor([1.0, 1.0, 1.0, 0.75, -0.75, 0.25])
        expected = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, 0.5])
        assert torch.equal(with_magnitudes(2).fake_quantize(weight), expected)

    def test_of_equal_scale_exponents_the_larger_is_taken(self):
        # ternary: (1.5 - 1)**2 == (1.5 - 2)**2
        assert with_magnitudes(1).quantize(torch.tensor([1.5])).scale_exponent == 1

    @pytest.mark.parametrize("bit_width, code", WIDTHS)
    def test_some_weight_is_on_the_top_level(self, bit_width, code):
        # Equal weights fit any level: the scale must not drift to an unused one.
        quantizer = PowerOfTwoQuantizer(bit_width, code, granularity="channel")
        quantized = quantizer.quantize(torch.tensor([[1.0, 1.0], [0.25, -0.25]]))
        assert quantized.scale_exponent.flatten().tolist() == [0, -2]
        assert int(quantized.codes.max()) == quantizer.num_magnitudes

    @pytest.mark.parametrize("bit_width, code", WIDTHS)
    def test_all_zero(self, bit_width, code):
        quantized = PowerOfTwoQuantizer(bit_width, code).quantize(torch.zeros(3, 2))
        assert quantized.scale == 1.0
        assert not quantized.codes.any()

    @pytest.mark.parametrize("bit_width, code", WIDTHS)
    def test_max_float_is_clipped_to_the_largest_power_of_two(self, bit_width, code):
        weight = torch.tensor([BIGGEST, -BIGGEST])
        result = PowerOfTwoQuantizer(bit_width, code).fake_quantize(weight)
        assert torch.equal(result, torch.tensor([2.0**127, -(2.0**127)]))

    def test_subnormal_weights_go_to_the_smallest_normal_number_or_to_zero(self):
        weight = torch.tensor([TINY, -0.75 * TINY, 0.6 * TINY, 0.4 * TINY, 2.0**-149])
        expected = torch.tensor([TINY, -TINY, TINY, 0.0, 0.0])
        assert torch.equal(with_magnitudes(16).fake_quantize(weight), expected)

    def test_a_single_weight(self):
        assert with_magnitudes(1).fake_quantize(torch.tensor(-0.3)) == -0.25
        assert with_magnitudes(7).fake_quantize(torch.tensor([0.4]))[0] == 0.5

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    def test_one_bad_weight_among_many_chunks_is_found(self, bad, monkeypatch):
        monkeypatch.setattr(power_of_two, "_CHUNK", 8)
        weight = torch.randn(100)
        weight[77] = bad
        with pytest.raises(NonFiniteWeightError, match=r"backbone\.conv1: 1 of 100 weights"):
            with_magnitudes(7).fake_quantize(weight, name="backbone.conv1")


class TestChunks:
    @pytest.mark.parametrize("granularity", ["tensor", "channel"])
    @pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
    @pytest.mark.parametrize("threads", [1, 2])
    def test_neither_chunks_nor_threads_matter(self, granularity, chunk, threads, monkeypatch):
        weight = torch.randn(13, 5, 3, 3) * torch.logspace(-3, 3, 13)[:, None, None, None]
        quantizer = PowerOfTwoQuantizer(4, "dense", granularity)
        expected = quantizer.quantize(weight)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        monkeypatch.setattr(power_of_two, "_CHUNK", chunk)
        try:
            result = quantizer.quantize(weight)
            values = quantizer.fake_quantize(weight)
            two = quantizer.fake_quantize_all([weight, weight / 8], ["", ""], [0, 1])
        finally:
            torch.set_num_threads(before)
        assert torch.equal(two[0], expected.dequantize())
        assert torch.equal(two[1], quantizer.fake_quantize(weight / 8, channel_axis=1))
        assert torch.equal(result.codes, expected.codes)
        assert torch.equal(result.scale, expected.scale)
        assert torch.equal(values, expected.dequantize())

    def test_two_threads_on_a_large_tensor(self):
        weight = torch.randn(1 << 18)
        one = PowerOfTwoQuantizer(6).fake_quantize(weight)
        torch.set_num_threads(2)
        assert torch.equal(PowerOfTwoQuantizer(6).fake_quantize(weight), one)


class TestHistogram:
    def test_counts_and_sums_per_half_octave(self):
        groups = torch.tensor([[1.0, 1.25, -1.75, 0.0], [2.0**-127, 3.0, 2.0, 2.0**-149]])
        count, total = power_of_two.half_octave_histogram(groups)
        one, zero = 2 * 127, 0
        assert count[0, [one, one + 1, zero]].tolist() == [2, 1, 1]
        assert total[0, [one, one + 1]].tolist() == [2.25, 1.75]
        assert count[1, [1, one + 2, one + 3, zero]].tolist() == [1, 1, 1, 1]
        assert total[1, [1, one + 2, one + 3, zero]].tolist() == [2.0**-127, 2.0, 3.0, 2.0**-149]
        assert count.sum(1).tolist() == [4, 4]

    def test_sums_do_not_depend_on_the_order(self):
        groups = torch.randn(1, 50_000)
        shuffled = groups[:, torch.randperm(50_000)]
        one, other = (power_of_two.half_octave_histogram(x)[1] for x in (groups, shuffled))
        assert torch.equal(one, other)


def test_nothing_that_gpus_refuse_to_do_deterministically(monkeypatch):
    """A GPU would tell: ``torch.use_deterministic_algorithms`` has it raise."""
    bincount = torch.bincount

    def checked(key, weights=None, minlength=0):
        assert weights is None
        return bincount(key, minlength=minlength)

    monkeypatch.setattr(torch, "bincount", checked)
    build_quantizer(4, "dense", granularity="channel").fake_quantize(torch.randn(8, 30))
