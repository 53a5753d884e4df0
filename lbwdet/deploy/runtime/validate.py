"""What a program must obey before any engine runs it.

An engine may rely on all of it: every value is written before it is read, maps have
the channels and, whatever the image, the sizes that their readers expect, every
accumulator fits int32, and every factor is a finite float32. What belongs to one operation alone
is in its file; here is what they have in common.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lbwdet.deploy.runtime.arithmetic.convolution import largest_sum
from lbwdet.deploy.runtime.declaration import Kind, Layer, Reads, Writes, check_ranges, roles
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.conv import MAX_ACCUMULATOR
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Map, Shapes, Value
from lbwdet.deploy.runtime.weights import MAX_WEIGHT, TWO_TERM, StoredWeight
from lbwdet.errors import ArtifactError, shown

MAX_WEIGHTS = 1 << 28
MAX_PACKED = 1 << 32  # bytes
MAX_OPERATIONS = 1 << 14  # placing as many maps takes a fraction of a second
CODES = ("paper", "dense", "two-term", "uniform")
_MAX_ACTIVATION = 255
_KIND_NAMES = {
    Kind.UINT8: "uint8",
    Kind.FLOAT: "float32",
    Kind.BOXES: "boxes",
    Kind.CANDIDATES: "candidates",
}


def check_weight(name: str, weight: StoredWeight) -> None:
    """A layer's codes, scale, gain and bias: shapes, ranges, nothing infinite.

    Raises:
        ArtifactError: with the layer's name.
    """
    place = f"layer {shown(name)}"
    outputs = weight.codes.shape[0]
    for part, array, lengths in (
        ("scale", weight.scale, {1, outputs}),
        ("gain", weight.gain, {outputs}),
        ("bias", weight.bias, {outputs}),
    ):
        if array.ndim != 1 or len(array) not in lengths:
            allowed = " or ".join(map(str, sorted(lengths)))
            raise ArtifactError(f"{place}: {part} has the shape {array.shape} instead of {allowed}")
        if not np.isfinite(array).all():
            raise ArtifactError(f"{place}: {part} is not finite everywhere")
    if weight.code not in CODES:
        raise ArtifactError(f"{place}: code {weight.code!r} is not one of {', '.join(CODES)}")
    floating = weight.code == "uniform" or weight.bit_width == 1
    if (weight.scale < 0).any() or not (floating or (weight.scale >= 2.0**-126).all()):
        raise ArtifactError(f"{place}: a scale is negative, or an exponent not in -126 .. 127")
    if weight.code == "uniform":
        bits, magnitudes, allowed_codes = {8}, {0}, MAX_WEIGHT
    elif weight.code == "two-term":
        bits, allowed_codes = set(TWO_TERM), weight.num_magnitudes
        magnitudes = {len(TWO_TERM.get(weight.bit_width, (0,)))}
    else:
        bits = set(range(1, 9))
        magnitudes = set(range(1, max(2, 1 << (weight.bit_width - 1))))
        allowed_codes = weight.num_magnitudes
    if weight.bit_width not in bits or weight.num_magnitudes not in magnitudes:
        raise ArtifactError(
            f"{place}: {weight.code} code of {weight.bit_width} bits with "
            f"{weight.num_magnitudes} magnitudes; allowed are {min(magnitudes)} to "
            f"{max(magnitudes)} magnitudes in {min(bits)} to {max(bits)} bits"
        )
    low, high = int(weight.codes.min()), int(weight.codes.max())
    if low < -allowed_codes or high > allowed_codes:
        raise ArtifactError(
            f"{place}: codes {low}..{high}; allowed is -{allowed_codes}..{allowed_codes}"
        )
    _check_accumulator(place, weight)


def _check_accumulator(place: str, weight: StoredWeight) -> None:
    """|acc| <= 255 * sum |w|: u8 inputs, any zero point, in every order of summation."""
    fan_in = math.prod(weight.codes.shape[1:])
    if _MAX_ACTIVATION * MAX_WEIGHT * fan_in <= MAX_ACCUMULATOR:
        return  # whatever the weights are
    bound = _MAX_ACTIVATION * largest_sum(weight.integers().integers)
    if bound > MAX_ACCUMULATOR:
        raise ArtifactError(
            f"{place}: its int32 accumulator could reach {bound} (255 times the sum of a channel's "
            f"integer weights), at most {MAX_ACCUMULATOR} is allowed; split the layer"
        )


def check_operations(
    operations: Sequence[Operation],
    quantizations: Mapping[str, Quantization],
    weights: Mapping[str, StoredWeight],
    given: Mapping[str, Value] | None = None,
) -> dict[str, Value]:
    """Walks through operations and returns every value that they write.

    Args:
        operations: in the order of execution.
        quantizations: of uint8 values.
        weights: by layer.
        given: values that are there before.

    Raises:
        ArtifactError: with the operation that does not fit.
    """
    shapes = Shapes(quantizations, weights)
    shapes.values.update(given or {})
    for index, operation in enumerate(operations):
        shapes.place = _place(index, operation)
        check_ranges(operation, shapes.place)
        _check_roles(operation, shapes)
        _check_likeness(operation, shapes)
        result = operation.infer(shapes)
        for name, role in operation.writes():
            assert result is not None
            if isinstance(result, Map):
                shapes.expect(
                    result.height.fits and result.width.fits,
                    "64 bits do not hold how its sides depend on the image's",
                )
                result = result.quantized(quantizations.get(name))
            _check_kind(name, role, result, shapes)
            _check_steps(name, role, result, shapes)
            shapes.values[name] = result
    return shapes.values


def _place(index: int, operation: Operation) -> str:
    layer = "".join(f" {shown(layer)}" for layer in operation.layers())
    return f"operation {index} ({type(operation).__name__}{layer})"


def _check_roles(operation: Operation, shapes: Shapes) -> None:
    for field, role, names in roles(operation):
        for name in names:
            if isinstance(role, Layer):
                shapes.expect(name in shapes.weights, "the layer has no weight")
            elif isinstance(role, Reads):
                if name not in shapes.values:
                    shapes.refuse(f"reads {shown(name)}, which no operation before it writes")
                kind = shapes.values[name].kind
                if not kind & role.kind:
                    shapes.refuse(
                        f"{field} {shown(name)} is {_KIND_NAMES[kind]}, not {_named(role.kind)}"
                    )
                _check_steps(name, role, shapes.values[name], shapes)
            else:
                if not name or name in shapes.values:
                    shapes.refuse(f"the output {shown(name)} is empty or already taken")
                if role.kind is Kind.UINT8 and name not in shapes.quantizations:
                    shapes.refuse(f"{shown(name)} has no quantization")


def _check_kind(name: str, role: Writes, value: Value, shapes: Shapes) -> None:
    if not value.kind & role.kind:
        shapes.refuse(f"{shown(name)} is {_named(role.kind)} and has no quantization")


def _check_steps(name: str, role: Reads | Writes, value: Value, shapes: Shapes) -> None:
    """Steps of channels: one for each, where the operation knows them."""
    if not isinstance(value, Map) or value.quantization is None:
        return
    exponents = value.quantization.exponents
    if len(exponents) not in (0, value.channels):
        shapes.refuse(f"{shown(name)} has {len(exponents)} exponents for {value.channels} channels")
    if exponents and not role.steps:
        shapes.refuse(f"{shown(name)} has a step for each channel, and here all must have the same")


def _named(kind: Kind) -> str:
    return " or ".join(_KIND_NAMES[single] for single in kind)


def _check_likeness(operation: Operation, shapes: Shapes) -> None:
    for _, role, names in roles(operation, Writes):
        if role.quantized_like is not None:
            source = getattr(operation, role.quantized_like)
            shapes.expect(
                shapes.quantizations.get(source) == shapes.quantizations.get(names[0]),
                "input and output differ in quantization",
            )


def _check_quantization(name: str, quantization: Quantization) -> None:
    place = f"quantization of {shown(name)}"
    check_ranges(quantization, place)
    if float(np.float32(quantization.scale)) != quantization.scale:
        raise ArtifactError(f"{place}: scale {quantization.scale!r} is not a float32 number")
    if quantization.zero_point > quantization.maximum:
        raise ArtifactError(
            f"{place}: zero_point {quantization.zero_point} is above maximum {quantization.maximum}"
        )


def check_artifact(
    program: Program, weights: Mapping[str, StoredWeight], classes: Sequence[str]
) -> dict[str, Value]:
    """Holds a program, its weights and its classes against one another.

    Returns:
        Every value of the program, by name.

    Raises:
        ArtifactError: with the operation, the layer or the value that is wrong, what
            was given and what is allowed.
    """
    operations = program.operations
    if len(operations) < 2:
        raise ArtifactError("the program has no operations; it needs Preprocess to Detections")
    if len(operations) > MAX_OPERATIONS:
        raise ArtifactError(
            f"the program has {len(operations)} operations; at most {MAX_OPERATIONS} are allowed"
        )
    for kind, at, word in ((Preprocess, 0, "begins"), (Detections, len(operations) - 1, "ends")):
        for index, operation in enumerate(operations):
            if isinstance(operation, kind) != (index == at):
                raise ArtifactError(
                    f"{_place(index, operation)}: a program {word} with its one {kind.__name__}"
                )
    for name, weight in weights.items():
        check_weight(name, weight)
    for name, quantization in program.quantizations.items():
        _check_quantization(name, quantization)
    values = check_operations(operations, program.quantizations, weights)
    packed = [operation.packed_bytes(weights) for operation in operations]
    most = sum(packed) + max(packed)  # twice that of one operation, while it is made
    if most > MAX_PACKED:
        index = packed.index(max(packed))
        raise ArtifactError(
            f"an engine could take {most} bytes for the layers of its operations, at most "
            f"{MAX_PACKED} are allowed; most by {_place(index, operations[index])}"
        )
    used = {layer for operation in operations for layer in operation.layers()}
    maps = {name for name, value in values.items() if isinstance(value, Map)}
    for problem, names in (
        ("weights of layers that no operation has", set(weights) - used),
        ("quantizations of values that are no map", set(program.quantizations) - maps),
    ):
        if names:
            raise ArtifactError(f"{problem}: {shown(sorted(names))}")
    last = operations[-1]
    assert isinstance(last, Detections)
    if len(classes) != last.num_classes or len(set(classes)) != len(classes) or "" in classes:
        raise ArtifactError(
            f"classes are {shown(list(classes))}; {last.num_classes} different names are expected"
        )
    return values
