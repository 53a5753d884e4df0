import pytest

from lbwdet.errors import ConfigError
from lbwdet.quantizers import BIT_WIDTHS, check_bit_width, num_magnitudes


def test_magnitudes_of_each_bit_width():
    assert [num_magnitudes(b, "paper") for b in BIT_WIDTHS] == [1, 1, 2, 4, 8, 16, 32, 64]
    assert [num_magnitudes(b, "dense") for b in BIT_WIDTHS] == [1, 1, 3, 7, 15, 31, 63, 127]


@pytest.mark.parametrize("bit_width", BIT_WIDTHS[1:])
@pytest.mark.parametrize("code", ["paper", "dense"])
def test_all_levels_have_a_signed_code(bit_width, code):
    assert num_magnitudes(bit_width, code) <= 2 ** (bit_width - 1) - 1


def test_float_is_a_bit_width():
    assert check_bit_width(32) == 32
    with pytest.raises(ConfigError, match="choose 1 to 8, or 32"):
        check_bit_width(16)
