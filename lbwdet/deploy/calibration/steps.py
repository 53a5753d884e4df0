"""Channels with steps of their own: which values can have them, and what goes between values.

Layers that were trained so read them. Sums (a convolution with a residual is one) and joined maps
take over the steps of what reads their results, and hand them on to their inputs, so that nothing
is rounded twice; where that cannot be, an ``Affine`` that multiplies by one stands between, but for
a residual, which is read in any steps. Inputs are stored in eight bits however few the result has,
since others may read them, and what a ReLU makes of a sum does not bound what was added.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from lbwdet.deploy.runtime.declaration import Reads, Writes, roles
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.lookup import requantize
from lbwdet.deploy.runtime.operations.upsample import Upsample
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization

EIGHT_BITS = 255


def takes_steps(program: Program) -> set[str]:
    """Values of which every operation that touches them lets channels have steps of their own."""
    found: dict[str, bool] = {}
    alike: list[tuple[str, str]] = []
    for operation in program.operations:
        for _, role, names in roles(operation):
            if isinstance(role, Reads | Writes):
                for name in names:
                    found[name] = found.get(name, True) and role.steps
            if isinstance(role, Writes) and role.quantized_like is not None:
                alike.append((getattr(operation, role.quantized_like), names[0]))
    while differ := [pair for pair in alike if found[pair[0]] != found[pair[1]]]:
        for pair in differ:
            found.update(dict.fromkeys(pair, False))
    return {name for name, taken in found.items() if taken}


def hand_on(
    program: Program,
    quantizations: Mapping[str, Quantization],
    channels: Mapping[str, int],
    roots: Mapping[str, str],
    taking: set[str],
) -> dict[str, Quantization]:
    """Quantizations in which the inputs of sums and joined maps have the steps of the result.

    Args:
        program: calibrated but for that.
        quantizations: of its uint8 values.
        channels: of every value.
        roots: of values with the quantization of another: the other.
        taking: see :func:`takes_steps`.
    """
    found = dict(quantizations)
    for operation in reversed(program.operations):
        for name, wanted in _wanted(operation, found, channels):
            root = roots.get(name, name)
            if wanted.exponents and name in taking and not found[root].exponents:
                alike = [other for other, of in roots.items() if of == root]
                found.update(dict.fromkeys([root, *alike], wanted))
    return found


def between(program: Program, channels: Mapping[str, int]) -> Program:
    """The program with an operation wherever steps of channels do not fit."""
    quantizations = dict(program.quantizations)
    readers = Counter(name for operation in program.operations for name, _ in operation.reads())
    operations: dict[str, Operation] = {}  # by what they write
    for operation in program.operations:
        if isinstance(operation, Add | Concat) and operation.output in quantizations:
            inputs: list[str] = []
            copies: dict[tuple[str, Quantization], str] = {}
            for name, wanted in _wanted(operation, quantizations, channels):
                if quantizations[name].exponents == wanted.exponents:
                    inputs.append(name)
                    continue
                number = f":{len(copies)}" if copies else ""
                copy = copies.setdefault((name, wanted), f"{name}@{operation.output}{number}")
                inputs.append(copy)
                if copy in operations:
                    continue
                source, made = operations[name], {copy: in_steps(name, copy, channels[name])}
                if isinstance(source, Upsample) and readers[name] == 1:
                    del operations[name], quantizations[name]
                    made = _upsampled(source, copy, channels[name])
                operations |= made
                quantizations |= dict.fromkeys(made, wanted)
            operation = dataclasses.replace(operation, inputs=tuple(inputs))
        operations[operation.written] = operation
    return Program(tuple(operations.values()), quantizations)


def _upsampled(source: Upsample, copy: str, channels: int) -> dict[str, Operation]:
    """What upsamples a map in other steps, by what it writes: each pixel changed once, before it is
    repeated."""
    small = f"{source.input}@{copy}"
    return {
        small: in_steps(source.input, small, channels),
        copy: dataclasses.replace(source, input=small, output=copy),
    }


def in_steps(source: str, target: str, channels: int) -> Operation:
    """The values of ``source`` in the integers of ``target``, of this many channels; 0: not known,
    and neither has steps of channels."""
    if not channels:
        return requantize(source, target)
    return Affine(source, target, gain=(1.0,) * channels, bias=(0.0,) * channels)


def _wanted(
    operation: Operation, quantizations: Mapping[str, Quantization], channels: Mapping[str, int]
) -> Iterator[tuple[str, Quantization]]:
    """The quantization that suits each input of a sum or a joined map."""
    if not isinstance(operation, Add | Concat | Conv) or operation.output not in quantizations:
        return
    result, begin = quantizations[operation.output], 0
    if isinstance(operation, Conv):
        if operation.residual is not None:
            yield operation.residual, _added(result, quantizations.get(operation.residual))
        return
    for name in operation.inputs:
        if isinstance(operation, Add):
            yield name, _added(result, quantizations.get(name))
            continue
        end = begin + channels[name]
        yield (
            name,
            in_eight_bits(dataclasses.replace(result, exponents=result.exponents[begin:end])),
        )
        begin = end


def _added(result: Quantization, own: Quantization | None) -> Quantization:
    """An addend in the steps of the sum; below zero, too, where the sum ends there and it does not.

    Args:
        result: of the sum.
        own: of the addend, as its values alone would have it.
    """
    result = in_eight_bits(result)
    if own is None or result.zero_point or not own.zero_point:
        return result
    return dataclasses.replace(result, scale=float(np.float32(2 * result.scale)), zero_point=128)


def in_eight_bits(quantization: Quantization) -> Quantization:
    """The same range in 8 bits: by an odd part of the steps, which has its edges where they do."""
    parts = EIGHT_BITS // quantization.maximum
    parts -= 1 - parts % 2
    return dataclasses.replace(
        quantization,
        scale=float(np.float32(quantization.scale / parts)),
        zero_point=quantization.zero_point * parts,
        maximum=EIGHT_BITS,
    )
