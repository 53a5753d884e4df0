"""Random maps, weights and quantizations, for the operations' examples."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import MAX_WEIGHT, TWO_TERM, StoredWeight

Array = NDArray[Any]
Pair = tuple[int, int]

CLASSES = 3  # of candidates


def codes(random: "np.random.Generator", shape: tuple[int, ...], maximum: int = 255) -> Array:
    """uint8 of 0 to ``maximum``."""
    return random.integers(0, maximum + 1, shape).astype(np.uint8)


def feature_map(
    random: "np.random.Generator",
    max_side: int = 20,
    max_channels: int = 40,
    count: int | None = None,
) -> Array:
    """uint8 [n, h, w, c]: of 8 bits, or, one in five, of 4; one or two images, unless ``count``."""
    maximum = 15 if random.random() < 0.2 else 255
    n = int(random.integers(1, 3)) if count is None else count
    sides = (int(side) for side in random.integers(1, max_side + 1, 2))
    return codes(random, (n, *sides, int(random.integers(1, max_channels + 1))), maximum)


def quantization_of(random: "np.random.Generator", x: Array) -> Quantization:
    """One that the integers of a map can have."""
    if x.max(initial=0) <= 15:
        return Quantization(0.25, 0, 15, "ceil")
    return Quantization(
        float(np.float32(_one_of(random, [3.7, 0.9]) / 255)),
        int(_one_of(random, [0, 0, 128, 37, 255])),
    )


def output_quantization(random: "np.random.Generator", positive: bool = False) -> Quantization:
    """One for numbers of some units' size."""
    kinds: list[tuple[float, int, int, Literal["nearest", "ceil"]]] = [
        (0.01171875, 0 if positive else 128, 255, "nearest"),
        (0.0166015625, 90, 255, "nearest"),
        (0.15234375, 0, 15, "ceil"),
    ]
    return Quantization(*kinds[int(random.integers(len(kinds)))])


def window(
    random: "np.random.Generator", dilated: bool = True
) -> tuple[Pair, Pair, Pair, Pair, Array]:
    """Kernel, padding, dilation, stride, and a uint8 map that holds at least one such window."""
    kernel = _one_of(random, [(1, 1), (3, 3), (5, 5), (7, 7), (1, 3), (3, 2)])
    stride = _one_of(random, [(1, 1), (2, 2), (2, 1)])
    dilation = _one_of(random, [(1, 1), (1, 1), (2, 2), (1, 3)]) if dilated else (1, 1)
    padding = (int(random.integers(0, kernel[0] + 1)), int(random.integers(0, kernel[1] + 1)))
    x = feature_map(random)
    least = [
        max(1, (k - 1) * d + 1 - 2 * p) for k, d, p in zip(kernel, dilation, padding, strict=True)
    ]
    grown = [least[0] + x.shape[1] - 1, least[1] + x.shape[2] - 1]
    return kernel, padding, dilation, stride, np.resize(x, (x.shape[0], *grown, x.shape[3]))


def weight(random: "np.random.Generator", shape: tuple[int, int, int, int]) -> StoredWeight:
    """A :func:`random_weight` of any code, bit width and granularity."""
    code = _one_of(random, ["paper", "dense", "dense", "uniform"])
    bit_width = int(random.integers(1, 7))
    granularity = "channel" if random.random() < 0.5 else "tensor"
    return random_weight(random, shape, bit_width, code, granularity)


def random_weight(
    random: "np.random.Generator",
    shape: tuple[int, int, int, int],
    bit_width: int = 4,
    code: str = "dense",
    granularity: str = "tensor",
) -> StoredWeight:
    """A weight [o, i, kh, kw] of random codes whose layer keeps the size of its input.

    Args:
        random: where the numbers come from.
        shape: output channels, input channels, kernel height and width.
        bit_width: 1 to 8; not used by ``'uniform'``.
        code: ``'paper'``, ``'dense'``, ``'two-term'`` or ``'uniform'``.
        granularity: one scale per ``'tensor'`` or per ``'channel'``.
    """
    outputs = shape[0]
    scales = outputs if granularity == "channel" else 1
    if code == "uniform":
        magnitudes, bit_width = 0, 8
        drawn = np.clip(np.rint(random.normal(0, MAX_WEIGHT / 3, shape)), -MAX_WEIGHT, MAX_WEIGHT)
        scale = np.full(scales, 0.003, np.float32)
    else:
        magnitudes = dict(
            paper=max(1, (1 << bit_width) // 4),
            dense=max(1, (1 << (bit_width - 1)) - 1),
            **{"two-term": len(TWO_TERM.get(bit_width, ()))},
        )[code]
        octaves = np.rint(np.log2(np.abs(random.normal(0, 0.4, shape)))) + magnitudes
        drawn = np.clip(octaves, int(bit_width == 1), magnitudes) * random.choice([-1, 1], shape)
        scale = np.ldexp(np.float32(1), random.integers(-3, 2, scales)).astype(np.float32)
    stored = StoredWeight(
        codes=drawn.astype(np.int8),
        scale=scale,
        code=code,
        bit_width=bit_width,
        num_magnitudes=magnitudes,
        gain=np.ones(outputs, np.float32),
        bias=random.normal(0, 0.2, outputs).astype(np.float32),
    )
    size = np.sqrt((stored.dequantize().reshape(outputs, -1) ** 2).sum(1)) + 1e-6
    stored.gain[:] = (
        random.uniform(0.8, 1.2, outputs) * random.choice([1, 1, 1, -1], outputs) / size
    )
    return stored


def boxes(random: "np.random.Generator", count: int, height: int, width: int) -> Array:
    """float32 [count, 4] within an image of this size and a little beyond; some are empty."""
    ends = random.uniform(-0.1, 1.1, (count, 2, 2)) * [width, height]
    sides = np.sort(ends, 1).reshape(count, 4)
    empty = random.random(count) < 0.1
    sides[empty, 2:] = sides[empty, :2]
    return sides.astype(np.float32)


def candidates(random: "np.random.Generator", count: int) -> Array:
    """float32 [count, 7] of three classes and two levels; many overlap, and many scores tie."""
    rows = np.zeros((count, 7), np.float32)
    rows[:, :4] = boxes(random, count, 60, 90)
    rows[:, 4] = np.rint(random.uniform(0, 20, count)) / 20
    rows[:, 5], rows[:, 6] = random.integers(0, CLASSES, count), random.integers(0, 2, count)
    return rows


def _one_of(random: "np.random.Generator", choices: list[Any]) -> Any:
    return choices[int(random.integers(len(choices)))]


def exponents(random: "np.random.Generator", channels: int) -> tuple[int, ...]:
    """Of the steps of channels, an octave or two apart."""
    return tuple(random.integers(-2, 2, channels).tolist())
