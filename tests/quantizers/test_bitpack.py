import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.errors import LBWError
from lbwdet.quantizers import (
    BIT_WIDTHS,
    CODES,
    BitpackError,
    QuantizedWeight,
    build_quantizer,
    num_magnitudes,
    pack_codes,
    packed_size,
    unpack_codes,
)
from lbwdet.quantizers.levels import TWO_TERM


def all_codes(bit_width: int) -> torch.Tensor:
    if bit_width == 1:
        return torch.tensor([-1, 1], dtype=torch.int8)
    limit = 1 << (bit_width - 1)
    return torch.arange(-limit, limit).to(torch.int8)


@pytest.mark.parametrize("bit_width", BIT_WIDTHS)
class TestRoundTrip:
    def test_every_code_at_every_position(self, bit_width):
        codes = all_codes(bit_width)
        for shift in range(8):
            rolled = codes.roll(shift).repeat(3)
            packed = pack_codes(rolled, bit_width)
            assert packed.dtype == torch.uint8
            assert packed.numel() == packed_size(rolled.numel(), bit_width)
            assert torch.equal(unpack_codes(packed, bit_width, rolled.shape), rolled)

    def test_every_length_up_to_two_words(self, bit_width):
        codes = all_codes(bit_width)
        for size in range(18):
            some = codes[torch.randint(len(codes), (size,))]
            packed = pack_codes(some, bit_width)
            assert torch.equal(unpack_codes(packed, bit_width, (size,)), some)

    def test_any_shape_and_layout(self, bit_width):
        codes = all_codes(bit_width)
        some = codes[torch.randint(len(codes), (3, 4, 5))]
        turned = some.permute(2, 0, 1)
        assert torch.equal(unpack_codes(pack_codes(some, bit_width), bit_width, (3, 4, 5)), some)
        packed = pack_codes(turned, bit_width)
        assert torch.equal(unpack_codes(packed, bit_width, turned.shape), turned)

    @pytest.mark.parametrize("code", CODES)
    def test_every_level_survives_encoding(self, bit_width, code):
        if code == "two-term" and bit_width not in TWO_TERM:
            pytest.skip("the code has no such bit width")
        number = num_magnitudes(bit_width, code)
        codes = torch.arange(-number, number + 1).to(torch.int8)
        if bit_width == 1:
            codes = codes[codes != 0]
        quantizer = build_quantizer(bit_width, code)
        for exponent in (number - 127, 5, 100):  # the first has its lowest level at 2**-126
            levels = QuantizedWeight(
                codes, torch.tensor(2.0**exponent), bit_width, number, code
            ).dequantize()
            # The top level often enough that it is worth having.
            weight = torch.cat([levels, levels[[0, -1]].repeat(50)])
            quantized = quantizer.quantize(weight)
            assert torch.equal(quantized.codes[: len(codes)], codes)
            assert quantized.scale_exponent == exponent
            assert torch.equal(quantized.dequantize(), weight)


def test_golden_bytes():
    # least significant bit first: -3 = 101, 1 = 001, 2 = 010, -1 = 111 -> 111 010 001 101
    codes = torch.tensor([-3, 1, 2, -1], dtype=torch.int8)
    assert pack_codes(codes, 3).tolist() == [0b10_001_101, 0b0000_111_0]
    assert pack_codes(torch.tensor([1, -1, -1], dtype=torch.int8), 1).tolist() == [0b110]


class TestHostileInput:
    @pytest.mark.parametrize("bit_width, code", [(2, 2), (3, -5), (4, 8), (6, 32), (7, 64)])
    def test_codes_out_of_range(self, bit_width, code):
        with pytest.raises(BitpackError, match=f"do not fit {bit_width} bits"):
            pack_codes(torch.tensor([0, code], dtype=torch.int8), bit_width)

    @pytest.mark.parametrize("code", [0, 2, -128])
    def test_one_bit_has_two_codes(self, code):
        with pytest.raises(BitpackError, match=r"-1 and \+1"):
            pack_codes(torch.tensor([1, code], dtype=torch.int8), 1)

    @pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.float32])
    def test_codes_of_another_type(self, dtype):
        with pytest.raises(BitpackError, match=f"int8, not {dtype}"):
            pack_codes(torch.ones(3, dtype=dtype), 4)

    @pytest.mark.parametrize("bit_width", [0, 9, 32, -1])
    def test_bit_widths_that_do_not_exist(self, bit_width):
        with pytest.raises(BitpackError, match=f"1 to 8 bits, not {bit_width}"):
            pack_codes(torch.ones(3, dtype=torch.int8), bit_width)
        with pytest.raises(BitpackError, match=f"1 to 8 bits, not {bit_width}"):
            unpack_codes(torch.ones(3, dtype=torch.uint8), bit_width, (3,))

    @pytest.mark.parametrize("num_bytes", [0, 2, 4])
    def test_too_few_or_too_many_bytes(self, num_bytes):
        packed = torch.zeros(num_bytes, dtype=torch.uint8)
        with pytest.raises(BitpackError, match=rf"{num_bytes} values .* 3 of torch.uint8 expected"):
            unpack_codes(packed, 6, (4,))

    def test_bytes_of_another_type(self):
        with pytest.raises(BitpackError, match=r"torch\.int8 given"):
            unpack_codes(torch.zeros(3, dtype=torch.int8), 6, (4,))

    def test_impossible_shapes(self):
        with pytest.raises(BitpackError, match="negative"):
            unpack_codes(torch.zeros(0, dtype=torch.uint8), 6, (-1,))
        with pytest.raises(BitpackError, match="expected"):
            unpack_codes(torch.zeros(3, dtype=torch.uint8), 6, (2**62, 2**62))

    def test_bits_after_the_last_code(self):
        packed = pack_codes(torch.tensor([1, 2, 3], dtype=torch.int8), 6)
        packed[-1] |= 0x80
        with pytest.raises(BitpackError, match="filling bits"):
            unpack_codes(packed, 6, (3,))

    @given(st.binary(max_size=24), st.integers(1, 8), st.integers(0, 30))
    def test_any_bytes_are_decoded_or_refused(self, raw, bit_width, number):
        packed = torch.tensor(list(raw), dtype=torch.uint8)
        try:
            codes = unpack_codes(packed, bit_width, (number,))
        except BitpackError as error:
            assert isinstance(error, LBWError)
        else:
            assert torch.equal(pack_codes(codes, bit_width), packed)
