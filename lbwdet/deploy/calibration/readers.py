"""Who reads a value, how it is stored for them, and what each of them gets.

In training every layer rounds its own copy of what it reads, with a resolution of its own,
while residuals and RoIAlign read it as it is. Deployed, a value is stored once:

- A value that only layers of one and the same quantization read has that quantization.
- Any other value is stored in 8 bits. A layer that was trained with something else gets its
  own integers by a ``Lookup``.

Rounding twice is not rounding once, unless the 8-bit steps divide those of the layer (see
``Lookup.table``). So the steps tried are those that suit the values best, and whole parts of the
readers' steps; of these, the one whose readers together get what is nearest to what they got in
training.
"""

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lbwdet.deploy.calibration.histogram import Histogram, codes, real
from lbwdet.deploy.calibration.steps import EIGHT_BITS, in_eight_bits, in_steps
from lbwdet.deploy.runtime.arithmetic.functions import FUNCTIONS
from lbwdet.deploy.runtime.declaration import Kind, Reads, Writes, roles
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.lookup import Lookup, requantize
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import Array

SUMMED = 100  # inputs of a layer's sums, roughly: errors cancel there, a common shift does not


@dataclasses.dataclass
class Readers:
    """Who reads a value, or what has its quantization.

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
        sources: of values that have the quantization of another: the other.
    """

    sources: dict[str, str]
    _readers: dict[str, Readers]

    def of(self, name: str) -> Readers:
        return self._readers[self.sources.get(name, name)]


def readers_of(program: Program, trained: Mapping[str, Quantization]) -> AllReaders:
    """Finds the readers of every value of a lowered program; ``trained`` is by layer."""
    found = AllReaders({}, defaultdict(Readers))
    for operation in program.operations:
        passed_on = ""
        for _, role, names in roles(operation):
            if isinstance(role, Writes) and role.quantized_like is not None:
                passed_on = getattr(operation, role.quantized_like)
                found.sources[names[0]] = found.sources.get(passed_on, passed_on)
        for name, role in operation.reads():
            if name == passed_on or not role.kind & Kind.UINT8:
                continue
            readers, wanted = found.of(name), _trained_for(operation, role, trained)
            if wanted is None:
                readers.unrounded = True
            elif wanted not in readers.trained:
                readers.trained.append(wanted)
    return found


def functions_of(program: Program) -> dict[str, Callable[[Array], Array]]:
    """The function of values that are read by that function alone, by ``Lookup``."""
    found: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for operation in program.operations:
        for name, _ in operation.reads():
            of = (operation.function, *operation.parameters) if type(operation) is Lookup else ()
            found[name].add(of)
    return {
        name: functools.partial(_apply, *of)
        for name, (of, *others) in found.items()
        if of and not others
    }


def _apply(name: str, *arguments: Any) -> Array:
    *parameters, values = arguments
    return np.asarray(FUNCTIONS[name].of(values, *parameters))


def _trained_for(
    operation: Operation, role: Reads, trained: Mapping[str, Quantization]
) -> Quantization | None:
    """What training rounded this value to, for the layer that reads it."""
    return None if role.layer is None else trained.get(getattr(operation, role.layer))


def quantization_for(
    readers: Readers, histogram: Histogram, fitted: Quantization, steps: bool = False
) -> Quantization:
    """How a value is stored; ``fitted`` is what suits it without regard to its readers.

    With ``steps`` its channels can have steps of their own: those of the first layer that was
    trained with some.
    """
    of_channels = [wanted for wanted in readers.trained if wanted.exponents]
    if of_channels and steps:
        alone = len(readers.trained) == 1 and not readers.unrounded
        return of_channels[0] if alone else in_eight_bits(of_channels[0])
    if of_channels:
        others = [wanted for wanted in readers.trained if not wanted.exponents]
        readers = Readers(others, unrounded=True)
    if len(readers.trained) == 1 and not readers.unrounded:
        return readers.trained[0]
    return min(_candidates(readers.trained, fitted), key=lambda q: _error(readers, histogram, q))


def add_requantize(program: Program, trained: Mapping[str, Quantization]) -> Program:
    """Every layer reads the integers that it was trained with, made right before their first use.

    Args:
        program: calibrated; or without quantizations, and then nothing else is rounded.
        trained: by layer.
    """
    quantizations = dict(program.quantizations)
    operations: list[Operation] = []
    copies: dict[tuple[str, Quantization], str] = {}
    for operation in program.operations:
        for field, role, names in roles(operation):
            if not isinstance(role, Reads) or role.layer is None:
                continue
            wanted = _trained_for(operation, role, trained)
            if wanted is None or wanted == quantizations.get(names[0]):
                continue
            key = (names[0], wanted)
            if key not in copies:
                copies[key] = f"{names[0]}@{getattr(operation, role.layer)}"
                stored = quantizations.get(names[0], wanted).exponents
                channels = len(wanted.exponents or stored)
                operations.append(in_steps(names[0], copies[key], channels))
                quantizations[copies[key]] = wanted
            operation = dataclasses.replace(operation, **{field: copies[key]})
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
        read = integers if wanted == stored else requantize("", "").table(stored, wanted)[integers]
        total += of(real(read, wanted) - real(codes(values, wanted), wanted))
    return total
