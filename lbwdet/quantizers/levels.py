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

The code ``two-term`` goes beyond single powers of two: its magnitudes are sums of at most
two of 1, 2, 4, ... below one top level, so that a multiplication is two shifts and they fit
the same signed bytes. Single powers leave 3.7 % relative squared error of Gaussian weights
however many bits they have; two terms leave 0.4 %.

====  ============================================  =================================
bits  magnitudes, in units of the lowest            rule
====  ============================================  =================================
6     1 to 64: 22 of them                           all sums of two up to 64
5     1 to 32 without 17: 15 of them                all up to 32 but the one that is
                                                    missed least
4     1, 2, 4, 6, 8, 12, 16                         powers of two, and one and a half
                                                    of the larger ones
====  ============================================  =================================

The subsets for 5 and 4 bits are those of least squared error on Gaussian and Laplace
samples and on the channels of a trained compact detector, among subsets of a plain rule.
"""

from lbwdet.errors import ConfigError

CODES = ("paper", "dense", "two-term")
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


def _sums_of_two(top: int) -> tuple[int, ...]:
    terms = [0, *(1 << i for i in range(top.bit_length()))]
    return tuple(sorted({a + b for a in terms for b in terms if 0 < a + b <= top}))


TWO_TERM: dict[int, tuple[int, ...]] = {
    4: (1, 2, 4, 6, 8, 12, 16),
    5: tuple(m for m in _sums_of_two(32) if m != 17),
    6: _sums_of_two(64),
}


def num_magnitudes(bit_width: int, code: str) -> int:
    """Number ``n`` of non-zero magnitudes.

    >>> [num_magnitudes(b, "paper") for b in (2, 3, 4, 5, 6)]
    [1, 2, 4, 8, 16]
    >>> [num_magnitudes(b, "dense") for b in (2, 3, 4, 5, 6)]
    [1, 3, 7, 15, 31]
    >>> [num_magnitudes(b, "two-term") for b in (4, 5, 6)]
    [7, 15, 22]
    """
    if code not in CODES:
        raise ConfigError(f"code={code!r} is not known; choose one of {', '.join(CODES)}")
    if code == "two-term":
        if bit_width not in TWO_TERM:
            raise ConfigError(
                f"code='two-term' has {', '.join(map(str, TWO_TERM))} bits, not {bit_width}"
            )
        return len(TWO_TERM[bit_width])
    if bit_width == 1:
        return 1
    return 1 << (bit_width - 2) if code == "paper" else (1 << (bit_width - 1)) - 1


def magnitudes(bit_width: int, code: str) -> tuple[float, ...]:
    """The magnitudes below a top level of 1, ascending; exact in float32.

    >>> magnitudes(4, "dense")
    (0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0)
    >>> magnitudes(4, "two-term")
    (0.0625, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
    """
    number = num_magnitudes(bit_width, code)
    if code == "two-term":
        return tuple(m / TWO_TERM[bit_width][-1] for m in TWO_TERM[bit_width])
    return tuple(2.0 ** (t - number) for t in range(1, number + 1))
