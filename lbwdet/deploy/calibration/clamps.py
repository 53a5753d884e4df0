"""Clamps that cost nothing: the integers of a value have two ends of their own.

A ReLU6 is a ReLU whose result is stored in integers that end at 6.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping

import numpy as np

from lbwdet.deploy.runtime.declaration import Writes, roles
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.group_norm import GroupNorm
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization, rounded

WithReLU = Conv | Affine | Add | GroupNorm


def without_clamps(program: Program) -> Program:
    """A calibrated program in which what is clamped between 0 and a positive end ends there itself.

    The operation before writes the clamp's value, with a ReLU, and ``maximum`` of its quantization
    is at most ``round(end / scale) + zero_point``: nothing is rounded twice any more. A value that
    is read elsewhere, too, and one whose channels have steps of their own keep their clamp.
    """
    reads = Counter(name for operation in program.operations for name, _ in operation.reads())
    quantizations = dict(program.quantizations)
    operations: dict[str, Operation] = {}
    for operation in program.operations:
        first = operations.get(operation.input) if isinstance(operation, Lookup) else None
        if (
            isinstance(operation, Lookup)
            and isinstance(first, WithReLU)
            and reads[first.output] == 1
        ):
            stored = _ended(operation, first, quantizations)
            if stored is not None:
                del operations[first.output], quantizations[first.output]
                quantizations[operation.output] = stored
                operation = dataclasses.replace(first, output=operation.output, relu=True)
        for _, role, names in roles(operation, Writes):
            if role.quantized_like is not None:
                quantizations[names[0]] = quantizations[getattr(operation, role.quantized_like)]
        operations[operation.written] = operation
    return Program(tuple(operations.values()), quantizations)


def _ended(
    clamp: Lookup, first: WithReLU, quantizations: Mapping[str, Quantization]
) -> Quantization | None:
    """How the clamp's value is stored if the operation before ends there; None: it cannot."""
    if clamp.function != "clamp" or getattr(first, "function", "identity") != "identity":
        return None
    low, end = clamp.parameters
    stored = quantizations[clamp.output]
    if low != 0 or quantizations[first.output].exponents or stored.exponents:
        return None
    maximum = int(rounded(np.asarray(end / np.float64(stored.scale)), stored))
    return dataclasses.replace(stored, maximum=maximum) if maximum > stored.zero_point else None
