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

The weights of one key share their exponent, so their sum is exact in float64 (for
fewer than 2**29 of them): it depends neither on the order of the additions nor on
the number of threads or the device, and every process of a distributed training
finds the same ``s``.

Ties go away from zero: a weight half way between two levels takes the larger
one, and of two equally good ``s`` the larger one is taken, provided that some
weight is on its top level. Levels below ``2**-126``, the smallest normal float32,
do not exist: processors that flush subnormal numbers to zero must see the same
weights as the others.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lbwdet.quantizers.base import NonFiniteWeightError, WeightQuantizer
from lbwdet.quantizers.float_bits import BIAS, exp2
from lbwdet.quantizers.packing import Packed

_MAGNITUDE_BITS = 0x7FFFFFFF
_SIGN_BIT = -(1 << 31)
_MANTISSA_BITS = 23
_HALF_OCTAVE = 1 << (_MANTISSA_BITS - 1)  # added to the bits it rounds |w| to a power of two
_EXPONENT_MASK = 0x7F800000
_KEYS = 512
_EXPONENTS = 255  # biased exponents of finite float32; 0 holds zero and the subnormals
# Values whose temporaries stay in the cache of one core.
_CHUNK = 1 << 16
# And such as take little of a GPU's memory, where they are kept: the more operations cost nothing.
_RECORDED_CHUNK = 1 << 23


def _chunk(groups: Tensor) -> int:
    """How many values to treat at once; all of them on a GPU that does not record."""
    if groups.device.type == "cpu":
        return _CHUNK
    if groups.is_cuda and torch.cuda.is_current_stream_capturing():
        return _RECORDED_CHUNK
    return max(1, groups.numel())


def _chunks_of_rows(groups: Tensor) -> Iterator[slice]:
    """Rows to treat at once."""
    num_rows, num_columns = groups.shape
    rows = max(1, _chunk(groups) // num_columns)
    for row in range(0, num_rows, rows):
        yield slice(row, row + rows)


def _chunks(groups: Tensor) -> Iterator[tuple[slice, slice]]:
    """Rows and columns to treat at once: contiguous pieces."""
    num_columns, size = groups.shape[1], _chunk(groups)
    for rows in _chunks_of_rows(groups):
        for column in range(0, num_columns, size):
            yield rows, slice(column, column + size)


def half_octave_histogram(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Counts and sums the magnitudes per half octave.

    Args:
        groups: float32 [G, K], contiguous, K >= 1.

    Returns:
        int64 [G, 512], how many weights have ``bits >> 22 == key``, and float64
        [G, 512], the exact sum of their magnitudes. The keys from 510 on hold
        infinity and NaN.
    """
    count = groups.new_zeros(groups.shape[0], _KEYS, dtype=torch.int64)
    total = torch.zeros_like(count, dtype=torch.float64)
    for rows, columns in _chunks(groups):
        bits = groups[rows, columns].view(torch.int32) & _MAGNITUDE_BITS
        magnitude = bits.view(torch.float32).to(torch.float64)
        key = bits.bitwise_right_shift_(_MANTISSA_BITS - 1)
        if len(key) > 1:  # each group has keys of its own
            key += _KEYS * torch.arange(len(key), dtype=key.dtype, device=key.device)[:, None]
        key, size = key.reshape(-1), len(key) * _KEYS
        count[rows].add_(torch.bincount(key, minlength=size).reshape(-1, _KEYS))
        # Not bincount of weights, which GPUs refuse where algorithms shall be deterministic.
        sums = total.new_zeros(size).index_add_(0, key, magnitude.reshape(-1))
        total[rows].add_(sums.reshape(-1, _KEYS))
    return count, total


def used_exponents(count: Tensor) -> tuple[int, int]:
    """The biased exponents of the levels nearest to the smallest and the largest weight.

    Args:
        count: [G, 512] from :func:`half_octave_histogram`.

    Raises:
        NonFiniteWeightError: some weight is NaN or infinite.
    """
    keys = count.sum(0)[1:].nonzero() + 1  # |w| < 2**-127 is below half of any level
    if keys.numel() == 0:
        return 1, 1
    smallest, largest = keys[[0, -1], 0].tolist()
    if largest >= 2 * _EXPONENTS:
        raise NonFiniteWeightError("not finite")
    lowest, highest = (min((key + 1) // 2, _EXPONENTS - 1) for key in (smallest, largest))
    return lowest, highest


def squared_error_by_exponent(
    count: Tensor, total: Tensor, num_magnitudes: int, lowest: int, highest: int
) -> Tensor:
    """E(s) - |W|^2 for every top level that could be the best.

    Args:
        count, total: [G, 512] from :func:`half_octave_histogram`.
        num_magnitudes: ``n`` >= 1.
        lowest, highest: from :func:`used_exponents`.

    Returns:
        float64 [G, highest - lowest + 1]: column ``i`` is for the top level
        ``2**(lowest + i - 127)``; infinite if no weight of the group is that large.
    """
    # With l the level of column i: [2i] holds 0.5 to 0.75 l, [2i + 1] goes on to l,
    # [2i + 2] to 1.5 l.
    count = count[:, 2 * lowest - 2 : 2 * highest + 2].to(torch.float64)
    total = total[:, 2 * lowest - 2 : 2 * highest + 2]
    column = torch.arange(highest - lowest + 1, device=count.device)
    level = exp2(column + (lowest - BIAS))

    def error(count: Tensor, total: Tensor) -> Tensor:
        return level * (level * count - 2 * total)

    def around(x: Tensor) -> Tensor:
        return x[:, 1:-1:2] + x[:, 2::2]

    def from_here_up(x: Tensor) -> Tensor:
        return x.flip(1).cumsum(1).flip(1)[:, 1:-1:2]

    def under(x: Tensor) -> Tensor:
        return x[:, 0:-2:2]

    # The top level takes everything above it, the bottom one reaches down to half of itself.
    reached = from_here_up(count)
    above = error(reached, from_here_up(total))
    below = error(under(count), under(total))
    if lowest == 1:
        below[:, 0] = 0  # the key 0 holds zero and all that is below half of any level
    inner = error(around(count), around(total))
    inner_up_to = torch.nn.functional.pad(inner.cumsum(1), (1, 0))  # [i] = columns 0 .. i - 1
    bottom = (column - num_magnitudes + 1).clamp(min=0)
    result = above + below[:, bottom] + inner_up_to[:, column] - inner_up_to[:, bottom]
    return result.masked_fill(reached == 0, torch.inf)


def nearest_level(groups: Tensor, scale: Tensor, num_magnitudes: int) -> Tensor:
    """Rounds every weight to the nearest of 0 and ``±scale * 2**-t``, ``t < n``.

    Args:
        groups: float32 [G, K], finite, contiguous.
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
    last_zero = zero_below - 1
    result = torch.empty_like(groups, memory_format=torch.contiguous_format)
    for rows, columns in _chunks(groups):
        bits = groups[rows, columns].view(torch.int32)
        level = bits & _MAGNITUDE_BITS
        # The sign of the difference as a mask: all ones where the weight is kept.
        kept = (last_zero[rows, None] - level).bitwise_right_shift_(31)
        torch.maximum(level, lowest[rows, None], out=level)
        torch.minimum(level, highest[rows, None], out=level)
        level.add_(_HALF_OCTAVE).bitwise_and_(_EXPONENT_MASK)
        level.bitwise_or_(bits & _SIGN_BIT)
        torch.bitwise_and(level, kept, out=result[rows, columns].view(torch.int32))
    return result


def _level_of(magnitude: float) -> int:
    """The biased exponent of the level nearest to it; infinity's is the highest."""
    if math.isinf(magnitude):
        return _EXPONENTS - 1
    fraction, exponent = math.frexp(magnitude)  # fraction from 0.5 to 1
    return min(max(exponent + BIAS - 1 + (fraction >= 0.75), 1), _EXPONENTS - 1)


class PowerOfTwoQuantizer(WeightQuantizer):
    """The exact least-squares projection (solver ``'exact'``).

    Its values are idempotent, odd in the weight, and scaling a weight by a power
    of two scales them alike as long as no level leaves the normal float32 range.

    >>> weight = torch.tensor([0.9, -0.3, 0.05, 0.0])
    >>> PowerOfTwoQuantizer(bit_width=3, code="dense").fake_quantize(weight)
    tensor([ 1.0000, -0.2500,  0.0000,  0.0000])
    """

    solver = "exact"
    packs = True

    def scale(self, groups: Tensor) -> Tensor:
        count, total = half_octave_histogram(groups)
        return self._best(count, total, *used_exponents(count))

    def search(
        self, packed: Packed, peak: float = math.inf
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        rows, group, number = packed.rows, packed.layout.group, packed.num_groups
        # Long groups are counted row by row: atomic additions to one place wait for one another.
        cut = rows.shape[1] > 1
        place = torch.arange(len(rows), device=rows.device) if cut else group
        size = (len(rows) if cut else number) * _KEYS
        total = rows.new_zeros(size, dtype=torch.float64)
        count, one = torch.zeros_like(total), total.new_ones(())
        for part in _chunks_of_rows(rows):
            bits = rows[part].view(torch.int32) & _MAGNITUDE_BITS
            magnitude = bits.view(torch.float32).to(torch.float64).view(-1)
            key = bits.bitwise_right_shift_(_MANTISSA_BITS - 1)
            key = key.add_((_KEYS * place[part]).to(torch.int32)[:, None]).view(-1)
            total.index_add_(0, key, magnitude)
            count.index_add_(0, key, one.expand(len(key)))
        if cut:
            count, total = (
                each.new_zeros(number, _KEYS).index_add_(0, group, each.view(-1, _KEYS))
                for each in (count, total)
            )
        highest = _level_of(peak)
        yield self._best(count.view(-1, _KEYS), total.view(-1, _KEYS), 1, highest), None

    def _best(self, count: Tensor, total: Tensor, lowest: int, highest: int) -> Tensor:
        """The scales whose squared error is least."""
        error = squared_error_by_exponent(count, total, self.num_magnitudes, lowest, highest)
        # flip: argmin returns the first minimum, and of equals the larger s is wanted
        best = highest - error.flip(1).argmin(1)
        empty = error.amin(1) >= 0  # nothing to gain: every weight becomes zero
        return torch.where(empty, 1.0, exp2(best - BIAS).to(torch.float32))

    def assign(self, groups: Tensor, scale: Tensor) -> Tensor:
        return nearest_level(groups, scale, self.num_magnitudes)
