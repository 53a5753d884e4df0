"""Which magnitudes a bit width buys: the one table of levels.

The levels of a layer are ``{0}`` and ``±2**(s - t)`` for ``t = 0 .. n - 1``:
``n`` magnitudes below one scale exponent ``s``. A *code* says how the bit width
``b`` sets ``n``:

========  =======================  ============================================
code      n                        note
========  =======================  ============================================
paper     1 if b = 2, else         LBW-Net's choice; uses 2**(b-1)+1 of the
          2**(b - 2)               2**b codes (33 of 64 at 6 bits)
dense     2**(b - 1) - 1           every signed b-bit integer but the smallest
========  =======================  ============================================

At one bit there is no zero: the two levels are ``±mean|w|`` for either code.
"""

from lbwdet.errors import ConfigError

CODES = ("paper", "dense")
BIT_WIDTHS = tuple(range(1, 9))
FLOAT_BIT_WIDTH = 32


def check_bit_width(bit_width: int) -> int:
    """Returns ``bit_width`` if it is 1 to 8 or 32 (float).

    Raises:
        ConfigError: for anything else.
    """
    allowed = (*BIT_WIDTHS, FLOAT_BIT_WIDTH)
    if isinstance(bit_width, bool) or bit_width not in allowed:
        raise ConfigError(
            f"bit_width={bit_width!r} is not supported; "
            f"choose 1 to {BIT_WIDTHS[-1]}, or {FLOAT_BIT_WIDTH} for float weights"
        )
    return int(bit_width)


def num_magnitudes(bit_width: int, code: str) -> int:
    """Number ``n`` of non-zero magnitudes.

    >>> [num_magnitudes(b, "paper") for b in (2, 3, 4, 5, 6)]
    [1, 2, 4, 8, 16]
    >>> [num_magnitudes(b, "dense") for b in (2, 3, 4, 5, 6)]
    [1, 3, 7, 15, 31]
    """
    if code not in CODES:
        raise ConfigError(f"code={code!r} is not known; choose one of {', '.join(CODES)}")
    if bit_width == 1:
        return 1
    return 1 << (bit_width - 2) if code == "paper" else (1 << (bit_width - 1)) - 1
