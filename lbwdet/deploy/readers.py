"""Who reads a value, how it is stored for them, and what each of them gets.

In training every layer rounds its own copy of what it reads, with a resolution of its own,
while residuals and RoIAlign read it as it is. Deployed, a value is stored once:

- A value that only layers of one and the same quantization read has that quantization.
- Any other value is stored in 8 bits. A layer that was trained with something else gets its
  own integers by ``Requantize``.

Rounding twice is not rounding once, unless the 8-bit steps divide those of the layer (see
:func:`~lbwdet.deploy.runtime.requantize_table.requantize_table`). So the steps tried are those
that suit the values best, and whole parts of the readers' steps; of these, the one whose readers
together get what is nearest to what they got in training.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from lbwdet.deploy.histogram import Histogram, codes, real
from lbwdet.deploy.runtime.operations import (
    Conv,
    MaxPool,
    Operation,
    Program,
    Quantization,
    Requantize,
    RoIAlign,
)
from lbwdet.deploy.runtime.requantize_table import requantize_table
from lbwdet.deploy.runtime.weights import Array

EIGHT_BITS = 255
SUMMED = 100  # inputs of a layer's sums, roughly: errors cancel there, a common shift does not


@dataclasses.dataclass
class Readers:
    """Who reads a value, or what max pooling makes of it.

    Attributes:
        trained: quantizations that layers were trained with, each once.
        unrounded: whether somebody reads it who was trained without rounding.
    """

    trained: list[Quantization] = dataclasses.field(default_factory=list)
    unrounded: bool = False


@dataclasses.dataclass(frozen=True)
class AllReaders:
    """The readers of every value.

    Attributes:
        sources: of the results of max pooling: the value whose quantization they have.
    """

    sources: dict[str, str]
    _readers: dict[str, Readers]

    def of(self, name: str) -> Readers:
        return self._readers[self.sources.get(name, name)]


def readers_of(program: Program, trained: Mapping[str, Quantization]) -> AllReaders:
    """Finds the readers of every value of a lowered program; ``trained`` is by layer."""
    found = AllReaders({}, defaultdict(Readers))
    for operation in program.operations:
        if isinstance(operation, MaxPool):
            found.sources[operation.output] = found.sources.get(operation.input, operation.input)
        elif isinstance(operation, RoIAlign):
            for name in operation.inputs:
                found.of(name).unrounded = True
        elif isinstance(operation, Conv):
            readers, wanted = found.of(operation.input), trained.get(operation.layer)
            if wanted is None:
                readers.unrounded = True
            elif wanted not in readers.trained:
                readers.trained.append(wanted)
            if operation.residual is not None:
                found.of(operation.residual).unrounded = True
    return found


def quantization_for(readers: Readers, histogram: Histogram, fitted: Quantization) -> Quantization:
    """How a value is stored; ``fitted`` is what suits it without regard to its readers."""
    if len(readers.trained) == 1 and not readers.unrounded:
        return readers.trained[0]
    return min(_candidates(readers.trained, fitted), key=lambda q: _error(readers, histogram, q))


def add_requantize(program: Program, trained: Mapping[str, Quantization]) -> Program:
    """Every layer reads the integers that it was trained with, made right before their first use.

    Args:
        program: calibrated.
        trained: by layer.
    """
    quantizations = dict(program.quantizations)
    operations: list[Operation] = []
    copies: dict[tuple[str, Quantization], str] = {}
    for operation in program.operations:
        if isinstance(operation, Conv) and operation.layer in trained:
            name, wanted = operation.input, trained[operation.layer]
            if wanted != quantizations[name]:
                if (name, wanted) not in copies:
                    copy = copies[name, wanted] = f"{name}@{operation.layer}"
                    operations.append(Requantize(name, copy))
                    quantizations[copy] = wanted
                operation = dataclasses.replace(operation, input=copies[name, wanted])
        operations.append(operation)
    return Program(tuple(operations), quantizations)


def _candidates(trained: Sequence[Quantization], fitted: Quantization) -> list[Quantization]:
    found = [fitted, *(wanted for wanted in trained if wanted.maximum == EIGHT_BITS)]
    for wanted in trained:
        # To the nearest, only odd parts of a step have their edges where the step has its own.
        parts = range(1, EIGHT_BITS // wanted.maximum + 1, 1 + (wanted.rounding == "nearest"))
        for count in parts:
            scale = float(np.float32(wanted.scale / count))
            found.append(Quantization(scale, fitted.zero_point, EIGHT_BITS, wanted.rounding))
    return found


def _error(readers: Readers, histogram: Histogram, stored: Quantization) -> float:
    """How far all readers are from what they read in training: what layers make of it.

    A sum of ``SUMMED`` inputs has, per input, their mean square and ``SUMMED`` times their
    squared mean as its error.
    """
    values, counts = histogram.values()
    integers = codes(values, stored)

    def of(differences: Array) -> float:
        shift = counts @ differences
        return float(counts @ np.square(differences) + SUMMED * shift**2 / max(counts.sum(), 1))

    total = of(real(integers, stored) - values) if readers.unrounded else 0.0
    for wanted in readers.trained:
        read = integers if wanted == stored else requantize_table(stored, wanted)[integers]
        total += of(real(read, wanted) - real(codes(values, wanted), wanted))
    return total
