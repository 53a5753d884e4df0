"""``lower``: the one entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.fusions import FUSIONS, Fusion
from lbwdet.deploy.lower.head import head_of
from lbwdet.deploy.lower.heads import HEADS  # noqa: F401  (registers them)
from lbwdet.deploy.lower.preprocess import read_preprocess
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import ConfigError

# Of images of any size: one that the strides divide; the program has none.
TRACE_SIZE = (128, 192)


@dataclass(frozen=True)
class Lowered:
    """A detector as operations, not calibrated yet.

    Attributes:
        program: its ``quantizations`` are empty.
        weights: by layer.
        activations: of the inputs of layers whose quantization was trained, by layer.
    """

    program: Program
    weights: dict[str, StoredWeight]
    activations: dict[str, Quantization]


def lower(
    model: Any, pipeline: Sequence[Mapping[str, Any]], fusions: Sequence[Fusion] = FUSIONS
) -> Lowered:
    """A detector's operations and its weights.

    Args:
        model: MMDetection's detector in eval mode, float or with quantized layers.
        pipeline: its test pipeline, as in the config.
        fusions: which pairs of operations become one; without, the program computes the same
            reals, in more steps.

    Raises:
        ConfigError: names the first module or setting that no operation stands for.
    """
    kind = head_of(model)
    if model.training:
        raise ConfigError(f"{type(model).__name__} is in training mode; lower it after eval()")
    # First what takes no time: settings that cannot be lowered are told at once.
    head = kind(model)
    preprocess = read_preprocess(pipeline, model.data_preprocessor)
    program = Building(model, fusions)
    program.add(preprocess)
    image = torch.zeros(1, 3, *(preprocess.only_size or TRACE_SIZE))
    head.add_to(program, program.trace(kind.dense, image, preprocess.output))
    return Lowered(Program(tuple(program.operations), {}), program.weights, program.activations)
