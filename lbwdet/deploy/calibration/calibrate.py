"""Which real numbers a program's integers stand for, from values seen on images."""

from collections.abc import Callable, Iterable, Mapping

from lbwdet.deploy.calibration.clamps import without_clamps
from lbwdet.deploy.calibration.convolution import convolve
from lbwdet.deploy.calibration.histogram import METHODS, Histogram, affine, as_it_is, fit
from lbwdet.deploy.calibration.joined import round_once
from lbwdet.deploy.calibration.readers import (
    add_requantize,
    functions_of,
    quantization_for,
    readers_of,
)
from lbwdet.deploy.calibration.steps import between, hand_on, takes_steps
from lbwdet.deploy.calibration.storage import quantized_values
from lbwdet.deploy.runtime.context import LayerNumbers
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.reference_engine import run_program
from lbwdet.deploy.runtime.weights import Array, StoredWeight
from lbwdet.errors import ConfigError, DataError


def calibrate(
    program: Program,
    weights: Mapping[str, StoredWeight],
    images: Iterable[tuple[str, Array]],
    method: str = "mse",
    trained: Mapping[str, Quantization] | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Program:
    """The program with a quantization for every value that is stored in integers.

    Values are those of the program in reals with the integer weights, and with the inputs of
    layers rounded as training did. Zero always is a number that the integers can hold, since
    maps are padded with it. What passes its input's quantization on, as max pooling does, has that;
    what is joined has the joined map's, or the other way round (:mod:`.joined`); the network's
    input covers what preprocessing can give.

    Args:
        program: as lowered.
        weights: by layer.
        images: names, for messages, and uint8 [H, W, 3] BGR images.
        method: ``'mse'``, ``'percentile'`` or ``'minmax'``, see :mod:`.histogram`.
        trained: quantizations of the inputs of layers that training has found, by layer.
            Every layer gets its own, by a ``Lookup`` where others read the value
            otherwise; see :mod:`.readers`.
        on_image: called after each image.

    Raises:
        DataError: no images, or one that leads to NaN or infinite values.
        ConfigError: an unknown method, or a value that cannot be stored.
    """
    if method not in METHODS:
        raise ConfigError(f"method={method!r} is not known; choose one of {', '.join(METHODS)}")
    trained = trained or {}
    histograms = _observe(program, weights, images, trained, on_image)
    readers, functions = readers_of(program, trained), functions_of(program)
    inputs = {
        operation.output: affine(*operation.input_range)
        for operation in program.operations
        if isinstance(operation, Preprocess) and not readers.of(operation.output).trained
    }
    taking = takes_steps(program)
    quantizations: dict[str, Quantization] = {}
    for name, histogram in histograms.items():
        if name in inputs:
            quantizations[name] = inputs[name]
        elif name in readers.sources:
            quantizations[name] = quantizations[readers.sources[name]]
        else:
            fitted = fit(histogram, method, functions.get(name, as_it_is))
            steps = name in taking
            quantizations[name] = quantization_for(readers.of(name), histogram, fitted, steps)
    channels = {name: histogram.channels for name, histogram in histograms.items()}
    quantizations = hand_on(program, quantizations, channels, readers.sources, taking)
    quantizations = round_once(
        program, quantizations, histograms, readers, functions, inputs.keys()
    )
    fitting = between(Program(program.operations, quantizations), channels)
    return without_clamps(add_requantize(fitting, trained))


def _observe(
    program: Program,
    weights: Mapping[str, StoredWeight],
    images: Iterable[tuple[str, Array]],
    trained: Mapping[str, Quantization],
    on_image: Callable[[], None],
) -> dict[str, Histogram]:
    histograms = {name: Histogram() for name in quantized_values(program)}
    # What layers read is rounded, and nothing else.
    rounding = add_requantize(Program(program.operations, {}), trained)
    layers = {name: LayerNumbers.integer(weight) for name, weight in weights.items()}
    count = 0
    for image_name, image in images:

        def observe(name: str, value: Array, image_name: str = image_name) -> None:
            try:
                if name in histograms:
                    histograms[name].add(value)
            except DataError as error:
                raise DataError(
                    f"{image_name}: {error} after {name}; the weights have diverged, or their "
                    "batch norm statistics are not those of such images"
                ) from error

        run_program(rounding, layers, image, observe, convolve)
        on_image()
        count += 1
    if not count:
        raise DataError("no images to calibrate on; give at least one")
    return histograms
