"""What a program must obey before any engine runs it.

An engine may rely on all of it: every value is written before it is read, maps have
the channels and, whatever the image, the sizes that their readers expect, every
accumulator fits int32, and every factor is a finite float32.

**Sizes.** The padded image is ``D * m`` pixels high for some m >= 1 (``D`` is the
divisor of ``Preprocess``). A convolution or a pool maps a side ``x`` to ``(x + a) // s``;
floors of quotients nest, so that every side of the program is one
``(factor * m + offset) // divisor``, and in lowest terms two sides are equal for every
image if and only if these three numbers are.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lbwdet.deploy.runtime.operations import (
    MAX_WEIGHT,
    Conv,
    Detections,
    MaxPool,
    Operation,
    Preprocess,
    Program,
    Proposals,
    PSRoIAlign,
    Quantization,
    Requantize,
    RoIAlign,
)
from lbwdet.deploy.runtime.weights import TWO_TERM, StoredWeight
from lbwdet.errors import ArtifactError, shown

MAX_WEIGHTS = 1 << 28
CODES = ("paper", "dense", "two-term", "uniform")
_MAX_ACTIVATION = 255
_INT32 = (1 << 31) - 1
_MAX_REAL = 2.0**80  # far from where sums and products of float32 become infinite

# Smallest and largest value of a field, or of every number in it, wherever it occurs.
RANGES: dict[str, tuple[float, float]] = {
    "base_anchors": (-1e6, 1e6),
    "bit_width": (1, 8),
    "dilation": (1, 128),
    "finest_scale": (1e-3, 1e6),
    "iou_threshold": (0, 1),
    "kernel": (1, 128),
    "max_boxes": (1, 100_000),
    "max_ratio": (1e-6, 1e6),
    "maximum": (1, 255),
    "mean": (-1e6, 1e6),
    "means": (-1e6, 1e6),
    "min_size": (-1, 1e6),
    "num_classes": (1, 100_000),
    "num_magnitudes": (0, 127),
    "padding": (0, 128),
    "pre_nms": (1, 1_000_000),
    "sampling_ratio": (0, 64),
    "scale": (2.0**-126, 2.0**126),
    "score_threshold": (-1, 1),
    "shape": (1, MAX_WEIGHTS),
    "size": (1, 1 << 15),
    "size_divisor": (1, 1 << 10),
    "std": (1e-6, 1e6),
    "stds": (1e-6, 1e6),
    "stride": (1, 128),
    "strides": (1, 1 << 15),
    "zero_point": (0, 255),
}


def check_ranges(value: Any, place: str) -> None:
    """Holds every number in a dataclass against :data:`RANGES`.

    Raises:
        ArtifactError: one is out of range.
    """
    for field in dataclasses.fields(value):
        entry, name = getattr(value, field.name), f"{place}: {field.name}"
        if dataclasses.is_dataclass(entry):
            check_ranges(entry, name)
        elif field.name in RANGES:
            low, high = RANGES[field.name]
            for number in _numbers(entry):
                if not low <= number <= high:
                    raise ArtifactError(f"{name} is {number}; allowed is {low:g} to {high:g}")


def _numbers(value: Any) -> list[float]:
    return [n for item in value for n in _numbers(item)] if isinstance(value, tuple) else [value]


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
    if _MAX_ACTIVATION * MAX_WEIGHT * fan_in <= _INT32:
        return  # whatever the weights are
    integers = weight.integers().integers.reshape(len(weight.codes), -1)
    bound = _MAX_ACTIVATION * int(np.abs(integers.astype(np.int64)).sum(1).max())
    if bound > _INT32:
        raise ArtifactError(
            f"{place}: its int32 accumulator could reach {bound} (255 times the sum of a channel's "
            f"integer weights), at most {_INT32} is allowed; split the layer"
        )


@dataclasses.dataclass(frozen=True)
class _Side:
    """A height or width: ``(factor * m + offset) // divisor`` pixels."""

    factor: int
    offset: int = 0
    divisor: int = 1

    def window(self, extent: int, stride: int, padding: int) -> "_Side":
        """The side after a window of ``extent`` pixels moved over it."""
        margin = 2 * padding - extent + stride
        return self._lowest(self.offset + margin * self.divisor, self.divisor * stride)

    def _lowest(self, offset: int, divisor: int) -> "_Side":
        common = math.gcd(self.factor, divisor)
        return _Side(self.factor // common, offset // common, divisor // common)

    @property
    def smallest(self) -> int:
        """At m = 1; sides never shrink with m."""
        return (self.factor + self.offset) // self.divisor


@dataclasses.dataclass(frozen=True)
class _Map:
    """A feature map; ``boxes`` names the boxes whose rows it has, '' for the one image."""

    channels: int
    height: _Side
    width: _Side
    boxes: str = ""
    quantization: Quantization | None = None


class _Program:
    """Walks through the operations and knows every value written so far."""

    def __init__(self, program: Program, weights: Mapping[str, StoredWeight]) -> None:
        self.quantizations = program.quantizations
        self.weights = weights
        self.maps: dict[str, _Map] = {}
        self.boxes: set[str] = set()
        self.place = ""

    def run(self, operations: Sequence[Operation]) -> None:
        last = len(operations) - 1
        for index, operation in enumerate(operations):
            layer = f" {shown(operation.layer)}" if isinstance(operation, Conv) else ""
            self.place = f"operation {index} ({type(operation).__name__}{layer})"
            check_ranges(operation, self.place)
            self.expect(
                isinstance(operation, Preprocess) == (index == 0),
                "a program begins with its one Preprocess",
            )
            self.expect(
                isinstance(operation, Detections) == (index == last),
                "a program ends with its one Detections",
            )
            if isinstance(operation, Detections):
                self.detections(operation)
                continue
            name = operation.output
            taken = not name or name in self.maps or name in self.boxes
            self.expect(not taken, f"the output {shown(name)} is empty or already taken")
            if isinstance(operation, Proposals):
                self.proposals(operation)
                self.boxes.add(name)
            else:
                self.maps[name] = self.map(operation)

    def expect(self, condition: bool, problem: str) -> None:
        if not condition:
            raise ArtifactError(f"{self.place}: {problem}")

    def map(
        self, operation: Preprocess | Conv | MaxPool | Requantize | RoIAlign | PSRoIAlign
    ) -> _Map:
        quantization = self.quantizations.get(operation.output)
        if isinstance(operation, Conv):
            return self.conv(operation, quantization)
        if isinstance(operation, PSRoIAlign):
            return self.ps_roi_align(operation, quantization)
        self.expect(quantization is not None, f"{shown(operation.output)} has no quantization")
        assert quantization is not None
        if isinstance(operation, Preprocess):
            side = _Side(operation.size_divisor)
            return _Map(3, side, side, "", quantization)
        if isinstance(operation, MaxPool):
            return self.max_pool(operation, quantization)
        if isinstance(operation, Requantize):
            source = self.read(operation.input, quantized=True)
            return dataclasses.replace(source, quantization=quantization)
        return self.roi_align(operation, quantization)

    def read(self, name: str, quantized: bool) -> _Map:
        self.expect(name in self.maps, f"reads {shown(name)}, which no operation before it writes")
        value = self.maps[name]
        kind = "uint8" if quantized else "float32"
        self.expect((value.quantization is not None) == quantized, f"{shown(name)} is not {kind}")
        return value

    def read_boxes(self, name: str) -> None:
        self.expect(
            name in self.boxes, f"reads boxes {shown(name)}, which no operation before it writes"
        )

    def windowed(
        self,
        value: _Map,
        channels: int,
        window: tuple[tuple[int, int, int], ...],
        quantization: Quantization | None,
    ) -> _Map:
        """The map after windows of (extent, stride, padding), for the height and the width."""
        height, width = value.height.window(*window[0]), value.width.window(*window[1])
        self.expect(
            min(height.smallest, width.smallest) >= 1,
            "the window is larger than the map of the smallest image",
        )
        return _Map(channels, height, width, value.boxes, quantization)

    def conv(self, conv: Conv, quantization: Quantization | None) -> _Map:
        source = self.read(conv.input, quantized=True)
        assert source.quantization is not None
        self.expect(conv.layer in self.weights, "the layer has no weight")
        weight = self.weights[conv.layer]
        outputs, *expected = weight.codes.shape
        given = [source.channels, *conv.kernel]
        self.expect(
            given == expected,
            f"{source.channels} channels and the kernel {conv.kernel} meet a weight of the shape "
            f"{weight.codes.shape}",
        )
        extents = ((k - 1) * d + 1 for k, d in zip(conv.kernel, conv.dilation, strict=True))
        window = tuple(zip(extents, conv.stride, conv.padding, strict=True))
        result = self.windowed(source, outputs, window, quantization)
        step = 1.0 if quantization is None else quantization.scale
        reach = 0.0
        if conv.residual is None:
            self.expect(not conv.upsample, "upsample belongs to a residual, and there is none")
        else:
            self.expect(quantization is not None, "a residual needs a uint8 output")
            residual = self.read(conv.residual, quantized=True)
            assert residual.quantization is not None
            reach = _MAX_ACTIVATION * residual.quantization.scale / step
            same = conv.upsample or (residual.height, residual.width) == (
                result.height,
                result.width,
            )
            self.expect(
                same and (residual.channels, residual.boxes) == (outputs, source.boxes),
                f"the residual {shown(conv.residual)} has not the size of the output",
            )
        factor = source.quantization.scale * weight.scale.astype(np.float64) / step
        reach += float((factor * np.abs(weight.gain.astype(np.float64))).max()) * _INT32
        reach += float(np.abs(weight.bias).max()) / step
        self.expect(
            reach < _MAX_REAL,
            f"outputs could reach {reach:.3g}, at most {_MAX_REAL:.3g} is allowed; see the scales, "
            "gain and bias",
        )
        return result

    def max_pool(self, pool: MaxPool, quantization: Quantization) -> _Map:
        source = self.read(pool.input, quantized=True)
        self.expect(source.quantization == quantization, "input and output differ in quantization")
        self.expect(
            all(p < k for p, k in zip(pool.padding, pool.kernel, strict=True)),
            f"the padding {pool.padding} leaves windows of {pool.kernel} without a pixel",
        )
        window = tuple(zip(pool.kernel, pool.stride, pool.padding, strict=True))
        return self.windowed(source, source.channels, window, quantization)

    def roi_align(self, align: RoIAlign, quantization: Quantization) -> _Map:
        self.read_boxes(align.boxes)
        self.levels(align.inputs, align.strides)
        maps = [self.read(name, quantized=True) for name in align.inputs]
        self.expect(not any(value.boxes for value in maps), "inputs are maps of the image")
        channels = {value.channels for value in maps}
        self.expect(len(channels) == 1, f"inputs of {sorted(channels)} channels")
        for value in maps:
            assert value.quantization is not None
            self.expect(
                2 * _MAX_ACTIVATION * value.quantization.scale / quantization.scale < _MAX_REAL,
                "the scales of input and output are too far apart",
            )
        side = _Side(0, align.size)
        return _Map(channels.pop(), side, side, align.boxes, quantization)

    def ps_roi_align(self, align: PSRoIAlign, quantization: Quantization | None) -> _Map:
        self.read_boxes(align.boxes)
        source = self.read(align.input, quantized=False)
        self.expect(not source.boxes, "the input is a map of the image")
        self.expect(
            quantization is None, f"{shown(align.output)} is float32 and has no quantization"
        )
        outputs, rest = divmod(source.channels, align.size**2)
        self.expect(
            rest == 0,
            f"{source.channels} channels are not the same number for each of {align.size}x"
            f"{align.size} cells",
        )
        side = _Side(0, 1)
        return _Map(outputs, side, side, align.boxes)

    def levels(self, *sequences: Sequence[Any]) -> None:
        lengths = [len(sequence) for sequence in sequences]
        self.expect(
            len(set(lengths)) == 1 and lengths[0] > 0,
            f"one entry per level is wanted everywhere; given are {lengths}",
        )

    def proposals(self, proposals: Proposals) -> None:
        self.levels(proposals.scores, proposals.deltas, proposals.strides, proposals.base_anchors)
        for scores_name, deltas_name, anchors in zip(
            proposals.scores, proposals.deltas, proposals.base_anchors, strict=True
        ):
            scores = self.read(scores_name, quantized=False)
            deltas = self.read(deltas_name, quantized=False)
            self.expect(not scores.boxes and not deltas.boxes, "inputs are maps of the image")
            self.expect(
                (scores.height, scores.width) == (deltas.height, deltas.width),
                f"{shown(scores_name)} and {shown(deltas_name)} differ in size",
            )
            self.expect(
                0 < len(anchors) == scores.channels and deltas.channels == 4 * len(anchors),
                f"{len(anchors)} anchors, {scores.channels} scores, {deltas.channels} deltas",
            )

    def detections(self, detections: Detections) -> None:
        self.read_boxes(detections.boxes)
        scores = self.read(detections.scores, quantized=False)
        deltas = self.read(detections.deltas, quantized=False)
        for name, value in ((detections.scores, scores), (detections.deltas, deltas)):
            self.expect(
                value.boxes == detections.boxes and value.height == value.width == _Side(0, 1),
                f"{shown(name)} is not one pixel per box of {shown(detections.boxes)}",
            )
        num_deltas = 4 * (1 if detections.class_agnostic else detections.num_classes)
        self.expect(
            (scores.channels, deltas.channels) == (detections.num_classes + 1, num_deltas),
            f"{scores.channels} scores and {deltas.channels} deltas per box; "
            f"{detections.num_classes + 1} and {num_deltas} are expected",
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
) -> None:
    """Holds a program, its weights and its classes against one another.

    Raises:
        ArtifactError: with the operation, the layer or the value that is wrong, what
            was given and what is allowed.
    """
    if len(program.operations) < 2:
        raise ArtifactError("the program has no operations; it needs Preprocess to Detections")
    for name, weight in weights.items():
        check_weight(name, weight)
    for name, quantization in program.quantizations.items():
        _check_quantization(name, quantization)
    walk = _Program(program, weights)
    walk.run(program.operations)
    used = {operation.layer for operation in program.operations if isinstance(operation, Conv)}
    for kind, names in (
        ("weights of layers that no operation has", set(weights) - used),
        ("quantizations of values that are no map", set(program.quantizations) - set(walk.maps)),
    ):
        if names:
            raise ArtifactError(f"{kind}: {shown(sorted(names))}")
    (*_, last) = program.operations
    assert isinstance(last, Detections)
    if len(classes) != last.num_classes or len(set(classes)) != len(classes) or "" in classes:
        raise ArtifactError(
            f"classes are {shown(list(classes))}; {last.num_classes} different names are expected"
        )
