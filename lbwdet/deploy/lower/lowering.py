"""``lower``: the one entry."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.corners import whole_patches
from lbwdet.deploy.lower.fusions import FUSIONS, Fusion
from lbwdet.deploy.lower.head import Head, head_of
from lbwdet.deploy.lower.heads import HEADS  # noqa: F401  (registers them)
from lbwdet.deploy.lower.preprocess import read_preprocess
from lbwdet.deploy.lower.quantizing import quantize_predictions
from lbwdet.deploy.lower.same_numbers import check_same_numbers
from lbwdet.deploy.lower.wrapped import detector_in, without_masks
from lbwdet.deploy.runtime.context import LayerNumbers
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Shapes
from lbwdet.deploy.runtime.weights import Array, StoredWeight
from lbwdet.errors import ArtifactError, ConfigError

TRACE_SIZE = (128, 192)  # about that; a program has none
LEAST_MULTIPLES = (1, 2, 4, 8)  # of the divisor: smallest sides of a network's input


@dataclass(frozen=True)
class Lowered:
    """A detector as operations, not calibrated yet.

    Attributes:
        program: its ``quantizations`` are empty.
        weights: by layer.
        activations: of the inputs of layers whose quantization was trained, by layer.
        floats: of the layers that are float in training: their weights [o, i, kh, kw] there.
        maps: names of the values that the head's ``dense`` returns.
        classes: names of what it finds, if these are not the classes of the data set.
    """

    program: Program
    weights: dict[str, StoredWeight]
    activations: dict[str, Quantization]
    floats: dict[str, Array]
    maps: tuple[str, ...]
    classes: tuple[str, ...] | None = None

    def numbers(self) -> dict[str, LayerNumbers]:
        """Of each layer what training has: low-bit levels, or floats that ``weights`` rounds."""
        found = {name: LayerNumbers.real(weight) for name, weight in self.weights.items()}
        return found | {
            name: replace(found[name], factors=weight) for name, weight in self.floats.items()
        }


def lower(
    model: Any,
    pipeline: Sequence[Mapping[str, Any]],
    fusions: Sequence[Fusion] = FUSIONS,
    boxes_only: bool = False,
) -> Lowered:
    """A detector's operations and its weights.

    Args:
        model: MMDetection's detector in eval mode, float or with quantized layers; or a tracker or
            a semi-supervised model, of which the detector is lowered.
        pipeline: its test pipeline, as in the config.
        fusions: which pairs of operations become one; without, the program computes the same
            reals, in more steps.
        boxes_only: leave out what is predicted besides boxes: masks.

    Raises:
        ConfigError: names the first module or setting that no operation stands for, or a map
            that would be another one.
    """
    detector, preprocessor = detector_in(model)
    with without_masks(detector) if boxes_only else contextlib.nullcontext():
        kind = head_of(detector)
        if model.training:
            raise ConfigError(f"{type(model).__name__} is in training mode; lower it after eval()")
        # First what takes no time: settings that cannot be lowered are told at once.
        head = _read(kind, detector)
        preprocess = read_preprocess(pipeline, preprocessor)
        program = Building(detector, fusions)
        program.add(preprocess)
        sides, size = preprocess.infer(Shapes({}, {})).size, _trace_size(preprocess)
        with whole_patches(sides, size):
            maps = program.trace(kind.dense, torch.zeros(1, 3, *size), preprocess.output)
        head.add_to(program, maps)
    steps = quantize_predictions(program.operations)
    operations = Program(_of_every_image(steps, program.weights), {})
    if boxes_only and operations.has_masks:
        raise ConfigError(
            f"boxes of {type(detector).__name__} are those around its masks: it cannot be lowered "
            "with --boxes-only"
        )
    lowered = Lowered(
        operations, program.weights, program.activations, program.floats, maps, kind.classes
    )
    with without_masks(detector) if boxes_only else contextlib.nullcontext():
        check_same_numbers(detector, kind.dense, operations.operations, lowered.numbers(), maps)
    return lowered


def _trace_size(preprocess: Preprocess) -> tuple[int, ...]:
    """A height and a width that an image can have."""
    if preprocess.only_size is not None:
        return preprocess.only_size
    sides = preprocess.infer(Shapes({}, {})).size
    return tuple(
        -(-about // side.factor) * side.factor if side.factor else side.smallest
        for about, side in zip(TRACE_SIZE, sides, strict=True)
    )


def _of_every_image(
    operations: Sequence[Operation], weights: Mapping[str, StoredWeight]
) -> tuple[Operation, ...]:
    """The operations, with images padded as far as a network needs them that has large windows.

    What else may be wrong is said where the calibrated program is checked.
    """
    first, *others = operations
    assert isinstance(first, Preprocess)
    quantizations = {operation.written: Quantization(1.0) for operation in operations}
    for least in LEAST_MULTIPLES:
        found = (replace(first, least_multiple=least), *others)
        shapes = Shapes(quantizations, weights)
        with contextlib.suppress(ArtifactError):
            for operation in found:
                value = operation.infer(shapes)
                if value is not None:
                    shapes.values[operation.written] = value
            return found
    return tuple(operations)


def _read(kind: type[Head], model: Any) -> Head:
    """The head's settings."""
    try:
        return kind(model)
    except (AttributeError, LookupError, TypeError) as error:
        raise ConfigError(
            f"{type(model).__name__} cannot be lowered: it has not the parts of a detector with "
            f"{kind.name} ({error})"
        ) from error
