"""Pairs of operations that one operation computes as well, or better: it rounds only once.

A program runs without any of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lbwdet.deploy.lower.draft import Draft
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.depth_to_space import DepthToSpace
from lbwdet.deploy.runtime.operations.group_norm import GroupNorm
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.slice import Slice
from lbwdet.deploy.runtime.operations.upsample import Upsample

Make = Callable[[Draft, Any, Any], Operation | None]


@dataclass(frozen=True)
class Fusion:
    """An operation and the only one that reads its value become one.

    Attributes:
        name: for people.
        first, reader: types of the two.
        make: the one, which writes the value of either (or of a third that it takes the place of,
            too), or None if these two do not fit.
    """

    name: str
    first: tuple[type[Operation], ...]
    reader: type[Operation]
    make: Make


def fuse(draft: Draft, fusions: Sequence[Fusion]) -> None:
    """Applies fusions to a draft, one after the other, each wherever it fits, until none does.

    The new operation stands in the reader's place, so that all it reads was computed before.
    """
    while any([_fused(draft, fusion) for fusion in fusions]):
        pass


def _fused(draft: Draft, fusion: Fusion) -> bool:
    """Whether something changed on the way through the draft."""
    changed, readers = False, draft.readers()
    for name in list(draft.operations):
        first = draft.operations.get(name)
        if not isinstance(first, fusion.first) or len(readers[name]) != 1:
            continue
        (reader,) = readers[name]
        if not isinstance(reader, fusion.reader):
            continue
        one = fusion.make(draft, first, reader)
        if one is None:
            continue
        gone = {first.written, one.written} - {reader.written}
        draft.replace(gone, reader.written, one)
        changed, readers = True, draft.readers()
    return changed


def norm(draft: Draft, conv: Conv, affine: Affine) -> Conv | None:
    """``norm(w * x + b)``: the layer's own factor and offset."""
    if (conv.relu and not _keeps_signs(affine)) or conv.residual is not None:
        return None
    if conv.function != "identity":
        return None
    draft.layers[conv.layer] = draft.layers[conv.layer].then(affine.gain, affine.bias)
    return replace(conv, relu=conv.relu or affine.relu)


def norms(_: Draft, first: Affine, second: Affine) -> Affine | None:
    """A factor and an offset after others."""
    if first.relu and not _keeps_signs(second):
        return None
    gain = tuple(a * b for a, b in zip(first.gain, second.gain, strict=True))
    bias = tuple(
        own * factor + offset
        for own, factor, offset in zip(first.bias, second.gain, second.bias, strict=True)
    )
    return replace(first, gain=gain, bias=bias, relu=first.relu or second.relu)


def _keeps_signs(affine: Affine) -> bool:
    """Whether it is the same before a ReLU and after it."""
    return all(factor > 0 for factor in affine.gain) and not any(affine.bias)


def residual(draft: Draft, conv: Conv, add: Add) -> Conv | None:
    """Of two convolutions that are added, the first takes the other as its residual."""
    if conv.relu or conv.residual is not None or (conv.function != "identity" and add.relu):
        return None
    if len(add.inputs) != 2 or _twice(add):
        return None
    (other,) = (name for name in add.inputs if name != conv.output)
    if draft.maps[other] != draft.maps[conv.output]:  # one pixel for all
        return None
    return replace(conv, residual=other, relu=add.relu)


def upsampled_residual(draft: Draft, upsample: Upsample, add: Add) -> Conv | None:
    """A convolution's result and a map upsampled to its size."""
    if len(add.inputs) != 2 or _twice(add):
        return None
    (other,) = (name for name in add.inputs if name != upsample.output)
    conv = draft.operations.get(other)
    if not isinstance(conv, Conv) or conv.relu or conv.residual is not None:
        return None
    if conv.function != "identity":
        return None
    if not all(reader in (upsample, add) for reader in draft.readers()[other]):
        return None
    return replace(conv, residual=upsample.input, upsample=True, relu=add.relu)


def sums(draft: Draft, first: Add, second: Add) -> Add | None:
    """More than two maps in one sum."""
    if first.relu or _twice(second) or draft.maps[first.output] != draft.maps[second.output]:
        return None
    others = tuple(name for name in second.inputs if name != first.output)
    if len(first.inputs) + len(others) > 64:
        return None
    return replace(first, inputs=(*first.inputs, *others), relu=second.relu)


def relu(_: Draft, first: Conv | Affine | Add | GroupNorm, lookup: Lookup) -> Operation | None:
    """Nothing below zero; a second time it changes nothing."""
    if lookup.function != "relu" or getattr(first, "function", "identity") != "identity":
        return None
    return replace(first, relu=True)


def function(_: Draft, conv: Conv, lookup: Lookup) -> Conv | None:
    """A function that a convolution computes of its reals: nothing is rounded before it."""
    if lookup.function != "silu" or conv.relu or conv.residual or conv.function != "identity":
        return None
    return replace(conv, function="silu")


def relu_of_blocks(draft: Draft, blocks: DepthToSpace, lookup: Lookup) -> DepthToSpace | None:
    """What is not negative where pixels are made is not where they lie."""
    conv = draft.operations.get(blocks.input)
    if lookup.function != "relu" or not isinstance(conv, Conv):
        return None
    if draft.readers()[conv.output] != [blocks] or conv.function != "identity":
        return None
    draft.operations[conv.output] = replace(conv, relu=True)
    return blocks


def functions(_: Draft, first: Lookup, second: Lookup) -> Lookup | None:
    """Two functions that are one of those that there are."""
    if first.function == second.function == "relu":
        return first
    for one, other in ((first, second), (second, first)):
        if one.function == "identity":
            return replace(other, input=first.input, output=first.output)
    return None


def slices(_: Draft, first: Slice, second: Slice) -> Slice | None:
    """Some pixels and channels of some."""
    (top, left), (step_y, step_x), (begin, count) = first.start, first.step, first.channels
    offset, kept = second.channels
    return replace(
        first,
        start=(top + second.start[0] * step_y, left + second.start[1] * step_x),
        step=(step_y * second.step[0], step_x * second.step[1]),
        channels=(begin + offset, kept or (count and count - offset)),
    )


FUSIONS = (
    Fusion("norm", (Conv,), Affine, norm),
    Fusion("norms", (Affine,), Affine, norms),
    Fusion("upsampled residual", (Upsample,), Add, upsampled_residual),
    Fusion("residual", (Conv,), Add, residual),
    Fusion("sums", (Add,), Add, sums),
    Fusion("relu", (Conv, Affine, Add, GroupNorm), Lookup, relu),
    Fusion("relu of blocks", (DepthToSpace,), Lookup, relu_of_blocks),
    Fusion("function", (Conv,), Lookup, function),
    Fusion("functions", (Lookup,), Lookup, functions),
    Fusion("slices", (Slice,), Slice, slices),
)


def _twice(add: Add) -> bool:
    """Whether a map is added to itself."""
    return len({*add.inputs}) < len(add.inputs)
