"""What every quantizer of the registry obeys, at every bit width, code and granularity."""

import copy
import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lbwdet.errors import ConfigError
from lbwdet.quantizers import (
    BIT_WIDTHS,
    CODES,
    GRANULARITIES,
    SOLVERS,
    NonFiniteWeightError,
    build_quantizer,
)


def _combinations():
    for solver, bit_width, code in itertools.product(SOLVERS, BIT_WIDTHS, CODES):
        for granularity in GRANULARITIES:
            try:
                yield build_quantizer(bit_width, code, solver, granularity)
            except ConfigError:
                continue  # a solver that is not for this bit width


QUANTIZERS = list(_combinations())


def _each(which):
    return pytest.mark.parametrize(
        "quantizer",
        which,
        ids=lambda q: f"{q.bit_width}bit-{q.code}-{q.solver}-{q.granularity}",
    )


def test_every_solver_has_cases():
    assert {quantizer.solver for quantizer in QUANTIZERS} == set(SOLVERS)
    assert {quantizer.bit_width for quantizer in QUANTIZERS} == set(BIT_WIDTHS)


@_each(QUANTIZERS)
class TestContract:
    def test_shape_is_kept_and_input_untouched(self, quantizer):
        for shape in [(), (1,), (7,), (3, 5), (4, 3, 3, 3), (2, 1, 2, 2, 2)]:
            weight = torch.randn(shape)
            before = weight.clone()
            values = quantizer.fake_quantize(weight)
            quantized = quantizer.quantize(weight)
            assert values.shape == quantized.codes.shape == shape
            assert values.dtype == torch.float32 and quantized.codes.dtype == torch.int8
            assert torch.equal(weight, before)
            assert values.data_ptr() != weight.data_ptr()

    def test_codes_stand_for_the_fake_quantized_values(self, quantizer):
        for weight in (torch.randn(6, 4, 3, 3), torch.randn(5, 40) ** 5, torch.zeros(3, 4)):
            quantized = quantizer.quantize(weight)
            assert torch.equal(quantized.dequantize(), quantizer.fake_quantize(weight))
            assert int(quantized.codes.abs().max()) <= quantizer.num_magnitudes
            assert quantizer.bit_width > 1 or (quantized.codes != 0).all()  # one bit: two codes

    def test_odd_in_the_weight(self, quantizer):
        weight = torch.randn(4, 50)
        values = quantizer.fake_quantize(weight)
        assert torch.equal(quantizer.fake_quantize(-weight), -values)
        assert bool(((values == 0) | (values.sign() == weight.sign())).all())

    def test_no_more_values_than_levels(self, quantizer):
        weight = torch.randn(3, 2000) ** 3
        limit = 2 if quantizer.bit_width == 1 else 2 * quantizer.num_magnitudes + 1
        assert limit <= 2**quantizer.bit_width
        rows = weight if quantizer.granularity == "channel" else weight.reshape(1, -1)
        for row in quantizer.fake_quantize(rows):
            assert len(row.unique()) <= limit

    def test_a_power_of_two_moves_the_exponent_only(self, quantizer):
        weight = torch.randn(3, 40)
        quantized = quantizer.quantize(weight)
        for shift in (-20, -1, 3, 30):
            moved = quantizer.quantize(weight * 2.0**shift)
            assert torch.equal(moved.codes, quantized.codes)
            assert torch.equal(moved.scale_exponent, quantized.scale_exponent + shift)

    def test_memory_layout_does_not_matter(self, quantizer):
        weight = torch.randn(4, 6, 3, 3)
        expected = quantizer.fake_quantize(weight)
        strided = torch.randn(8, 6, 3, 3)[::2].copy_(weight)
        layouts = [
            weight.to(memory_format=torch.channels_last),
            strided,
            weight.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0),
        ]
        for layout in layouts:
            assert torch.equal(quantizer.fake_quantize(layout), expected)
            assert torch.equal(quantizer.quantize(layout).dequantize(), expected)

    def test_other_float_types(self, quantizer):
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            weight = torch.randn(3, 8).to(dtype)
            values = quantizer.fake_quantize(weight)
            assert values.dtype == dtype
            expected = quantizer.fake_quantize(weight.float()).to(dtype)
            assert torch.equal(values, expected)

    def test_empty(self, quantizer):
        for shape in [(0,), (0, 3), (3, 0), (2, 0, 3, 3)]:
            assert quantizer.fake_quantize(torch.empty(shape)).shape == shape
            quantized = quantizer.quantize(torch.empty(shape))
            assert quantized.codes.shape == quantized.dequantize().shape == shape

    def test_all_zero_stays_zero(self, quantizer):
        assert not quantizer.fake_quantize(torch.zeros(2, 3)).any()
        assert not quantizer.quantize(torch.zeros(2, 3)).dequantize().any()

    def test_subnormal_and_huge_weights_give_finite_values(self, quantizer):
        biggest = torch.finfo(torch.float32).max
        for weight in (torch.rand(2, 9) * 2.0**-130, torch.full((2, 9), biggest)):
            values = quantizer.fake_quantize(weight)
            assert bool(values.isfinite().all())
            assert torch.equal(quantizer.quantize(weight).dequantize(), values)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    def test_non_finite_weights_are_refused_by_name(self, quantizer, bad):
        weight = torch.randn(3, 4)
        weight[1, 2] = bad
        for method in (quantizer.fake_quantize, quantizer.quantize):
            with pytest.raises(NonFiniteWeightError, match=r"^neck\.conv: 1 of 12 weights are NaN"):
                method(weight, name="neck.conv")

    def test_no_gradient_and_no_state(self, quantizer):
        weight = torch.randn(3, 4, requires_grad=True)
        assert not quantizer.fake_quantize(weight).requires_grad
        again = pickle.loads(pickle.dumps(copy.deepcopy(quantizer)))
        assert torch.equal(again.fake_quantize(weight), quantizer.fake_quantize(weight))
        assert repr(quantizer.bit_width) in repr(quantizer)

    @settings(max_examples=25)
    @given(
        values=hnp.arrays(
            "float32",
            hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
            elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
        )
    )
    def test_any_floats(self, quantizer, values):
        weight = torch.from_numpy(values)
        result = quantizer.fake_quantize(weight)
        assert bool(result.isfinite().all())
        assert torch.equal(quantizer.quantize(weight).dequantize(), result)


# The threshold scheme is not idempotent, as its docstring says.
@_each([quantizer for quantizer in QUANTIZERS if quantizer.solver != "threshold"])
def test_idempotent(quantizer):
    values = quantizer.fake_quantize(torch.randn(4, 60))
    assert torch.equal(quantizer.fake_quantize(values), values)


@_each([quantizer for quantizer in QUANTIZERS if quantizer.granularity == "channel"])
def test_channels_are_quantized_one_by_one(quantizer):
    weight = torch.randn(4, 6, 2) * torch.tensor([1e-3, 1.0, 0.0, 50.0])[:, None, None]
    alone = build_quantizer(quantizer.bit_width, quantizer.code, quantizer.solver)
    for axis, tensor in ((0, weight), (1, weight.transpose(0, 1)), (-1, weight.movedim(0, -1))):
        values = quantizer.fake_quantize(tensor, channel_axis=axis)
        quantized = quantizer.quantize(tensor, channel_axis=axis)
        assert torch.equal(quantized.dequantize(), values)
        assert quantized.scale.shape[axis] == quantized.scale.numel() == 4
        for channel, row in enumerate(weight):
            assert torch.equal(values.select(axis, channel), alone.fake_quantize(row))
            assert quantized.scale.flatten()[channel] == alone.quantize(row).scale
