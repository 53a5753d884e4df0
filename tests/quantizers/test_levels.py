import pytest

from lbwdet.errors import ConfigError
from lbwdet.quantizers import BIT_WIDTHS, check_bit_width, num_magnitudes
from lbwdet.quantizers.levels import TWO_TERM, magnitudes


def test_magnitudes_of_each_bit_width():
    assert [num_magnitudes(b, "paper") for b in BIT_WIDTHS] == [1, 1, 2, 4, 8, 16, 32, 64]
    assert [num_magnitudes(b, "dense") for b in BIT_WIDTHS] == [1, 1, 3, 7, 15, 31, 63, 127]


@pytest.mark.parametrize("bit_width", BIT_WIDTHS[1:])
@pytest.mark.parametrize("code", ["paper", "dense"])
def test_all_levels_have_a_signed_code(bit_width, code):
    assert num_magnitudes(bit_width, code) <= 2 ** (bit_width - 1) - 1


@pytest.mark.parametrize("bit_width", TWO_TERM)
def test_two_terms_are_sums_of_two_powers_that_fit_a_signed_byte(bit_width):
    numbers = TWO_TERM[bit_width]
    assert all(number.bit_count() <= 2 for number in numbers)
    assert numbers[-1].bit_count() == 1 and numbers[-1] <= 64
    assert len(numbers) == num_magnitudes(bit_width, "two-term") <= 2 ** (bit_width - 1) - 1
    assert list(magnitudes(bit_width, "two-term")) == sorted(n / numbers[-1] for n in numbers)


@pytest.mark.parametrize("bit_width", [1, 2, 3, 7, 8])
def test_two_terms_have_no_other_bit_width(bit_width):
    with pytest.raises(ConfigError, match="'two-term' has 4, 5, 6 bits"):
        num_magnitudes(bit_width, "two-term")


def test_float_is_a_bit_width():
    assert check_bit_width(32) == 32
    with pytest.raises(ConfigError, match="choose 1 to 8, or 32"):
        check_bit_width(16)
