"""Which real numbers a program's integers stand for, from values seen on images."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from lbwdet.deploy.float_program import FloatProgram
from lbwdet.deploy.histogram import METHODS, Histogram, affine, fit
from lbwdet.deploy.readers import add_requantize, quantization_for, readers_of
from lbwdet.deploy.runtime.operations import (
    Conv,
    Detections,
    MaxPool,
    Preprocess,
    Program,
    Proposals,
    PSRoIAlign,
    Quantization,
    Requantize,
    RoIAlign,
)
from lbwdet.deploy.runtime.weights import Array, StoredWeight
from lbwdet.errors import ConfigError, DataError


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
        if isinstance(operation, Preprocess | Conv | MaxPool | Requantize | RoIAlign)
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
    """The program with a quantization for every value that is stored in integers.

    Values are those of the float program with the integer weights, and with the inputs of
    layers rounded as training did. Zero always is a number that the integers can hold, since
    maps are padded with it. Max pooling passes its input's quantization on; the network's
    input covers what preprocessing can give.

    Args:
        program: as lowered.
        weights: by layer.
        images: names, for messages, and uint8 [H, W, 3] BGR images.
        method: ``'mse'``, ``'percentile'`` or ``'minmax'``, see :mod:`.histogram`.
        trained: quantizations of the inputs of layers that training has found, by layer.
            Every layer gets its own, by a ``Requantize`` where others read the value
            otherwise; see :mod:`.readers`.
        on_image: called after each image.

    Raises:
        DataError: no images, or one that leads to NaN or infinite values.
        ConfigError: an unknown method.
    """
    if method not in METHODS:
        raise ConfigError(f"method={method!r} is not known; choose one of {', '.join(METHODS)}")
    trained = trained or {}
    histograms = _observe(program, weights, images, trained, on_image)
    readers = readers_of(program, trained)
    quantizations: dict[str, Quantization] = {}
    for name in quantized_values(program):
        if name in readers.sources:
            quantizations[name] = quantizations[readers.sources[name]]
        else:
            fitted = fit(histograms[name], method)
            quantizations[name] = quantization_for(readers.of(name), histograms[name], fitted)
    for operation in program.operations:
        if isinstance(operation, Preprocess) and not readers.of(operation.output).trained:
            quantizations[operation.output] = affine(*_input_range(operation))
    return add_requantize(dataclasses.replace(program, quantizations=quantizations), trained)


def _observe(
    program: Program,
    weights: Mapping[str, StoredWeight],
    images: Iterable[tuple[str, Array]],
    trained: Mapping[str, Quantization],
    on_image: Callable[[], None],
) -> dict[str, Histogram]:
    histograms = {name: Histogram() for name in quantized_values(program)}
    plain = dataclasses.replace(program, quantizations={})
    runner = FloatProgram(plain, weights, quantized=True, inputs=trained)
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


def _input_range(operation: Preprocess) -> tuple[float, float]:
    ends = [
        (pixel - mean) / std
        for mean, std in zip(operation.mean, operation.std, strict=True)
        for pixel in (0, 255)
    ]
    return min(ends), max(ends)
