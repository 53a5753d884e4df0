"""``lower``: the one entry."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.fusions import FUSIONS, Fusion
from lbwdet.deploy.lower.head import head_of
from lbwdet.deploy.lower.heads import HEADS  # noqa: F401  (registers them)
from lbwdet.deploy.lower.preprocess import read_preprocess
from lbwdet.deploy.lower.wrapped import detector_in, without_masks
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import ConfigError

TRACE_SIZE = (128, 192)  # any size that the strides divide; a program has none


@dataclass(frozen=True)
class Lowered:
    """A detector as operations, not calibrated yet.

    Attributes:
        program: its ``quantizations`` are empty.
        weights: by layer.
        activations: of the inputs of layers whose quantization was trained, by layer.
        classes: names of what it finds, if these are not the classes of the data set.
    """

    program: Program
    weights: dict[str, StoredWeight]
    activations: dict[str, Quantization]
    classes: tuple[str, ...] | None = None


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
        ConfigError: names the first module or setting that no operation stands for.
    """
    detector, preprocessor = detector_in(model)
    with without_masks(detector) if boxes_only else contextlib.nullcontext():
        kind = head_of(detector)
        if model.training:
            raise ConfigError(f"{type(model).__name__} is in training mode; lower it after eval()")
        # First what takes no time: settings that cannot be lowered are told at once.
        head = kind(detector)
        preprocess = read_preprocess(pipeline, preprocessor)
        program = Building(detector, fusions)
        program.add(preprocess)
        image = torch.zeros(1, 3, *TRACE_SIZE)
        head.add_to(program, program.trace(kind.dense, image, preprocess.output))
    operations = Program(tuple(program.operations), {})
    return Lowered(operations, program.weights, program.activations, kind.classes)
