"""Exact projection onto powers of two, for any number of magnitudes, in one pass.

For a fixed scale exponent ``s`` the best level of a weight is the nearest one:
``|w|`` in ``[0.75 * 2**l, 1.5 * 2**l)`` goes to ``2**l``, above the top level to
the top, below half of the lowest level to zero. All these thresholds are
multiples of half an octave, so they show in the upper nine magnitude bits of a
float32, ``key = bits >> 22`` (the exponent and the first mantissa bit). One pass
that counts the weights and sums ``|w|`` per key gives the squared error of every
``s`` through prefix sums,

    E(s) - |W|^2 = sum over levels l of  4**l * count_l - 2 * 2**l * sum_l,

and the best ``s`` is its arg-min. O(N), no sort, no iteration.

The sums are sums of integer mantissas, exact in float64: they depend neither on
the order of the additions nor on the number of threads or the device, so every
process of a distributed training finds the same ``s``.

Ties go away from zero: a weight half way between two levels takes the larger
one, and of two equally good ``s`` the larger one is taken. Levels below
``2**-126``, the smallest normal float32, do not exist: processors that flush
subnormal numbers to zero must see the same weights as the others.
"""

import torch
from torch import Tensor

from lbwdet.quantizers.base import NonFiniteWeightError, WeightQuantizer
from lbwdet.quantizers.float_bits import BIAS, exp2

_MAGNITUDE_BITS = 0x7FFFFFFF
_MANTISSA_BITS = 23
_HALF_OCTAVE = 1 << (_MANTISSA_BITS - 1)  # added to the bits it rounds |w| to a power of two
_EXPONENT_MASK = 0x7F800000
_KEYS = 512
_EXPONENTS = 255  # biased exponents of finite float32; 0 holds zero and the subnormals
# Small enough that the temporaries of a chunk stay in the cache of one core.
_CHUNK = 1 << 18


def _chunk_rows(groups: Tensor) -> int:
    """How many groups to treat at once: all of them on a GPU."""
    if groups.device.type != "cpu":
        return groups.shape[0]
    return max(1, _CHUNK // groups.shape[1])


def half_octave_histogram(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Counts and sums the magnitudes per half octave.

    Args:
        groups: float32 [G, K].

    Returns:
        Two float64 [G, 512]: how many weights have ``bits >> 22 == key``, and the
        exact sum of their magnitudes.

    Raises:
        NonFiniteWeightError: some weight is NaN or infinite.
    """
    num_groups = groups.shape[0]
    count = groups.new_zeros(num_groups, _KEYS, dtype=torch.float64)
    mantissa_sum = torch.zeros_like(count)
    rows = _chunk_rows(groups)
    for start in range(0, num_groups, rows):
        block = groups[start : start + rows]
        columns = block.shape[1] if block.device.type != "cpu" else max(_CHUNK, 1)
        for piece in block.split(columns, dim=1):
            bits = piece.contiguous().view(torch.int32) & _MAGNITUDE_BITS
            key = bits >> (_MANTISSA_BITS - 1)
            if len(piece) > 1:
                row = torch.arange(len(piece), device=key.device, dtype=torch.int32)
                key += row[:, None] * _KEYS
            key = key.reshape(-1)
            mantissa = (bits & (_HALF_OCTAVE - 1)).reshape(-1).to(torch.float64)
            size = len(piece) * _KEYS
            window = slice(start, start + len(piece))
            count[window] += torch.bincount(key, minlength=size).reshape(-1, _KEYS)
            mantissa_sum[window] += torch.bincount(key, mantissa, size).reshape(-1, _KEYS)
    if bool(count[:, 2 * _EXPONENTS :].any()):
        raise NonFiniteWeightError("not finite")
    key = torch.arange(_KEYS, device=groups.device)
    exponent, upper_half = key >> 1, key & 1
    octave = exp2(exponent.clamp(min=1) - BIAS)
    implicit_one = (exponent > 0).to(torch.float64)  # subnormal numbers have none
    lowest = octave * (implicit_one + 0.5 * upper_half)
    unit = octave / 2.0**_MANTISSA_BITS
    return count, lowest * count + unit * mantissa_sum


def squared_error_by_exponent(count: Tensor, total: Tensor, num_magnitudes: int) -> Tensor:
    """E(s) - |W|^2 for every top level at once.

    Args:
        count, total: float64 [G, 512] from :func:`half_octave_histogram`.
        num_magnitudes: ``n`` >= 1.

    Returns:
        float64 [G, 255]: column ``e`` is for the top level ``2**(e - 127)``; column
        0 stands for no level at all and is infinite.
    """
    count, total = count.clone(), total.clone()
    count[:, 0] = total[:, 0] = 0  # |w| < 2**-127 is below half of any level
    top = torch.arange(1, _EXPONENTS, device=count.device)
    value = exp2(top - BIAS)

    def error_at(level: Tensor, number: Tensor, magnitude: Tensor) -> Tensor:
        return level * (level * number - 2 * magnitude)

    def from_key_up(x: Tensor) -> Tensor:
        return x.flip(1).cumsum(1).flip(1)

    # Keys of level l between others: 2l - 1 (from 0.75 * 2**l) and 2l (below 1.5 * 2**l).
    inner = error_at(
        value,
        count[:, 2 * top - 1] + count[:, 2 * top],
        total[:, 2 * top - 1] + total[:, 2 * top],
    )
    # The top level takes everything above it, the lowest reaches down to half of itself.
    above = error_at(value, from_key_up(count)[:, 2 * top - 1], from_key_up(total)[:, 2 * top - 1])
    below = error_at(value, count[:, 2 * top - 2], total[:, 2 * top - 2])
    inner_up_to = torch.nn.functional.pad(inner.cumsum(1), (1, 0))  # [e] = levels 1 .. e
    lowest = (top - num_magnitudes + 1).clamp(min=1)
    error = above + below[:, lowest - 1] + inner_up_to[:, top - 1] - inner_up_to[:, lowest - 1]
    return torch.nn.functional.pad(error, (1, 0), value=torch.inf)


def nearest_level(groups: Tensor, scale: Tensor, num_magnitudes: int) -> Tensor:
    """Rounds every weight to the nearest of 0 and ``±scale * 2**-t``, ``t < n``.

    Args:
        groups: float32 [G, K], finite.
        scale: float32 [G], normal powers of two.
        num_magnitudes: ``n`` >= 1.

    Returns:
        float32 [G, K].
    """
    highest = scale.view(torch.int32)
    step = 1 << _MANTISSA_BITS
    lowest = (highest - (num_magnitudes - 1) * step).clamp(min=step)
    # Half of 2**-126 is subnormal: its bits are not one exponent step below.
    zero_below = torch.where(lowest > step, lowest - step, _HALF_OCTAVE)
    result = torch.empty_like(groups, memory_format=torch.contiguous_format)
    rows = _chunk_rows(groups)
    for start in range(0, groups.shape[0], rows):
        window = slice(start, start + rows)
        block, out = groups[window], result[window]
        columns = block.shape[1] if block.device.type != "cpu" else max(_CHUNK, 1)
        for piece, target in zip(block.split(columns, 1), out.split(columns, 1), strict=True):
            bits = piece.contiguous().view(torch.int32)
            magnitude = bits & _MAGNITUDE_BITS
            kept = magnitude >= zero_below[window, None]
            level = magnitude.add_(_HALF_OCTAVE).bitwise_and_(_EXPONENT_MASK)
            level = torch.clamp(level, lowest[window, None], highest[window, None])
            level |= bits & ~_MAGNITUDE_BITS
            torch.mul(level, kept, out=target.view(torch.int32))
    return result


class PowerOfTwoQuantizer(WeightQuantizer):
    """The exact least-squares projection (solver ``'exact'``).

    Its values are idempotent, odd in the weight, and scaling a weight by a power
    of two scales them alike as long as no level leaves the normal float32 range.

    >>> weight = torch.tensor([0.9, -0.3, 0.05, 0.0])
    >>> PowerOfTwoQuantizer(bit_width=3, code="dense").fake_quantize(weight)
    tensor([ 1.0000, -0.2500,  0.0000,  0.0000])
    """

    solver = "exact"

    def scale(self, groups: Tensor) -> Tensor:
        error = squared_error_by_exponent(*half_octave_histogram(groups), self.num_magnitudes)
        # flip: argmin returns the first minimum, and of equals the larger s is wanted
        best = error.shape[1] - 1 - error.flip(1).argmin(1)
        empty = error[:, 1:].amin(1) >= 0  # nothing to gain: every weight becomes zero
        return torch.where(empty, 1.0, exp2(best - BIAS).to(torch.float32))

    def assign(self, groups: Tensor, scale: Tensor) -> Tensor:
        return nearest_level(groups, scale, self.num_magnitudes)
