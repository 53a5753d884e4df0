"""Which real numbers a program's integers stand for, from values seen on images.

``minmax``: the range from the least to the largest value seen. ``percentile``: the
range of all but the outermost ``1 - PERCENTILE`` of them. ``mse``: the range whose
rounding and clipping errors have the least sum of squares.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from lbwdet.deploy.float_program import FloatProgram
from lbwdet.deploy.runtime.operations import (
    Conv,
    Detections,
    MaxPool,
    Preprocess,
    Program,
    Proposals,
    PSRoIAlign,
    Quantization,
    RoIAlign,
)
from lbwdet.deploy.runtime.weights import Array, StoredWeight
from lbwdet.errors import ConfigError, DataError

METHODS = ("mse", "percentile", "minmax")
PERCENTILE = 0.9999
CLIPS = 2.0 ** (-np.arange(64) / 16)  # shares of the range that `mse` tries
ROUNDS = 2
_HALF = 4096  # bins of a histogram on each side of zero


class Histogram:
    """Counts of the values of a tensor, zeros apart, whatever their range.

    The bins divide ``-limit .. limit`` evenly; ``limit`` is a power of two that doubles, and
    bins merge in pairs, when a larger value comes. So the order of the images does not matter.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(2 * _HALF)
        self.limit = 0.0
        self.low = self.high = 0.0

    def add(self, values: Tensor) -> None:
        """Raises DataError if a value is NaN or infinite."""
        if values.numel() == 0:
            return
        low, high = (float(end) for end in torch.aminmax(values))
        largest = max(-low, high)
        if not np.isfinite(largest):
            raise DataError("values are NaN or infinite")
        if largest == 0:
            return
        self._reach(2.0 ** (np.floor(np.log2(largest)) + 1))
        counts = torch.histc(values, 2 * _HALF, -self.limit, self.limit).numpy()
        self.counts += counts
        self.counts[_HALF] -= int((values == 0).sum())
        self.low, self.high = min(self.low, low), max(self.high, high)

    def _reach(self, limit: float) -> None:
        if self.limit == 0:
            self.limit = limit
        while self.limit < limit:
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.concatenate([np.zeros(_HALF // 2), merged, np.zeros(_HALF // 2)])
            self.limit *= 2

    def values(self) -> tuple[Array, Array]:
        """Centres of the bins that hold something, ascending, and their counts."""
        centres = (np.arange(2 * _HALF) - _HALF + 0.5) * (self.limit / _HALF)
        filled = self.counts > 0
        return centres[filled], self.counts[filled]


def quantized_values(program: Program) -> list[str]:
    """Names of all values that are stored as uint8, in the order of the program."""
    exact: set[str] = set()
    for operation in program.operations:
        if isinstance(operation, Proposals):
            exact.update((*operation.scores, *operation.deltas))
        elif isinstance(operation, PSRoIAlign):
            exact.add(operation.input)
        elif isinstance(operation, Detections):
            exact.update((operation.scores, operation.deltas))
    return [
        operation.output
        for operation in program.operations
        if isinstance(operation, Preprocess | Conv | MaxPool | RoIAlign)
        and operation.output not in exact
    ]


def calibrate(
    program: Program,
    weights: Mapping[str, StoredWeight],
    images: Iterable[tuple[str, Array]],
    method: str = "mse",
    trained: Mapping[str, Quantization] | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Program:
    """The program with a quantization for every value that is stored in 8 bits.

    Values are those of the float program with the integer weights. Zero always is
    a number that the integers can hold, since maps are padded with it. Max pooling passes its
    input's quantization on; the network's input covers what preprocessing can give.

    Args:
        program: as lowered.
        weights: by layer.
        images: names, for messages, and uint8 [H, W, 3] BGR images.
        method: ``'mse'``, ``'percentile'`` or ``'minmax'``.
        trained: quantizations of the inputs of layers that training has found, by layer.
            A value that feeds several layers, which may differ in theirs, takes the one
            with the least squared error on it.
        on_image: called after each image.

    Raises:
        DataError: no images, or one that leads to NaN or infinite values.
        ConfigError: an unknown method.
    """
    if method not in METHODS:
        raise ConfigError(f"method={method!r} is not known; choose one of {', '.join(METHODS)}")
    histograms = _observe(program, weights, images, on_image)
    sources = _sources(program)
    wanted = _wanted(program, trained or {}, sources)
    quantizations: dict[str, Quantization] = {}
    for name in quantized_values(program):
        source = sources[name]
        if source != name:
            quantizations[name] = quantizations[source]
        elif wanted[name]:
            quantizations[name] = min(
                wanted[name], key=lambda q: squared_error(histograms[name], q)
            )
        else:
            quantizations[name] = fit(histograms[name], method)
    for operation in program.operations:
        if isinstance(operation, Preprocess) and not wanted[operation.output]:
            quantizations[operation.output] = affine(*_input_range(operation))
    return dataclasses.replace(program, quantizations=quantizations)


def fit(histogram: Histogram, method: str) -> Quantization:
    """The 8-bit quantization of values with this histogram; methods as of :func:`calibrate`."""
    centres, counts = histogram.values()
    low, high = histogram.low, histogram.high
    if not len(centres):  # nothing but zeros was seen
        return Quantization(1.0)
    if method == "percentile":
        share = np.cumsum(counts) / counts.sum()
        low = min(0.0, centres[np.searchsorted(share, 1 - PERCENTILE)])
        high = max(0.0, centres[np.searchsorted(share, PERCENTILE)])
    elif method == "mse":
        for _ in range(ROUNDS):
            for end in (0, 1):
                candidates = [
                    (low * clip, high) if end == 0 else (low, high * clip) for clip in CLIPS
                ]
                errors = [squared_error(histogram, affine(*ends)) for ends in candidates]
                low, high = candidates[int(np.argmin(errors))]
    return affine(low, high)


def affine(low: float, high: float) -> Quantization:
    """The 8-bit quantization that covers ``low .. high`` and zero.

    >>> affine(0.0, 25.5).zero_point, affine(-1.0, 3.0).zero_point
    (0, 64)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255)) or 1.0
    return Quantization(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


def squared_error(histogram: Histogram, quantization: Quantization) -> float:
    """Sum of the squared rounding and clipping errors."""
    centres, counts = histogram.values()
    steps = centres / quantization.scale
    steps = np.ceil(steps) if quantization.rounding == "ceil" else np.rint(steps)
    low, high = -quantization.zero_point, quantization.maximum - quantization.zero_point
    return float(
        (counts * np.square(np.clip(steps, low, high) * quantization.scale - centres)).sum()
    )


def _observe(
    program: Program,
    weights: Mapping[str, StoredWeight],
    images: Iterable[tuple[str, Array]],
    on_image: Callable[[], None],
) -> dict[str, Histogram]:
    histograms = {name: Histogram() for name in quantized_values(program)}
    runner = FloatProgram(dataclasses.replace(program, quantizations={}), weights, quantized=True)
    count = 0
    for image_name, image in images:

        def observe(name: str, value: Tensor, image_name: str = image_name) -> None:
            try:
                if name in histograms:
                    histograms[name].add(value)
            except DataError as error:
                raise DataError(
                    f"{image_name}: {error} after {name}; the weights have diverged, or their "
                    "batch norm statistics are not those of such images"
                ) from error

        runner.run(image, observe)
        on_image()
        count += 1
    if not count:
        raise DataError("no images to calibrate on; give at least one")
    return histograms


def _sources(program: Program) -> dict[str, str]:
    """The value whose quantization each value has: its own, or of a max pooling its input's."""
    sources = {name: name for name in quantized_values(program)}
    for operation in program.operations:
        if isinstance(operation, MaxPool):
            sources[operation.output] = sources[operation.input]
    return sources


def _wanted(
    program: Program, trained: Mapping[str, Quantization], sources: Mapping[str, str]
) -> dict[str, list[Quantization]]:
    """What the layers that read a value, or what max pooling makes of it, were trained with."""
    wanted: dict[str, list[Quantization]] = defaultdict(list)
    for operation in program.operations:
        if isinstance(operation, Conv) and operation.layer in trained:
            quantizations = wanted[sources[operation.input]]
            if trained[operation.layer] not in quantizations:
                quantizations.append(trained[operation.layer])
    return wanted


def compromises(program: Program, trained: Mapping[str, Quantization]) -> list[str]:
    """Values for which some reader gets other integers than it was trained with.

    A value is stored once. In training each layer rounded its own copy of it, and
    residuals and RoIAlign read it unrounded: at 8 bits that is no matter, below it is.
    """
    sources = _sources(program)
    wanted = _wanted(program, trained, sources)
    unrounded: set[str] = set()
    for operation in program.operations:
        if isinstance(operation, RoIAlign):
            unrounded.update(sources[name] for name in operation.inputs)
        elif isinstance(operation, Conv) and operation.residual is not None:
            unrounded.add(sources[operation.residual])
    return [
        name
        for name, quantizations in wanted.items()
        if any(q.maximum < 255 for q in quantizations)
        and (len(quantizations) > 1 or name in unrounded)
    ]


def _input_range(operation: Preprocess) -> tuple[float, float]:
    ends = [
        (pixel - mean) / std
        for mean, std in zip(operation.mean, operation.std, strict=True)
        for pixel in (0, 255)
    ]
    return min(ends), max(ends)
