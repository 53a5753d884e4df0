"""Runs a program in PyTorch: in float, or with every value rounded as the engines store it.

In float it computes what the fake-quantized detector computes, which is how lowering
is tested, and calibration watches the values pass by. With rounding it simulates the
integer engines closely enough to measure their accuracy; to the last bit is
the reference engine's business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations import (
    BoxCoder,
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
from lbwdet.deploy.runtime.reference.preprocess import resized_shape
from lbwdet.deploy.runtime.requantize_table import requantize_table
from lbwdet.deploy.runtime.weights import Array, StoredWeight

Observer = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class ImageSizes:
    """(height, width) of the image as given, and as resized, before padding."""

    original: tuple[int, int]
    resized: tuple[int, int]


def fake_quantize(value: Tensor, quantization: Quantization) -> Tensor:
    """The real numbers nearest to ``value`` that the quantization can hold."""
    scale, zero_point = quantization.scale, quantization.zero_point
    steps = value / scale
    steps = steps.ceil() if quantization.rounding == "ceil" else steps.round()
    return (steps.clamp(-zero_point, quantization.maximum - zero_point)) * scale


def requantize(value: Tensor, source: Quantization, target: Quantization) -> Tensor:
    """What ``Requantize`` makes of a value that was rounded to ``source``."""
    codes = (value / source.scale).round().long() + source.zero_point
    table = torch.from_numpy(requantize_table(source, target).astype(np.float32))
    return (table[codes] - target.zero_point) * target.scale


class FloatProgram:
    """A program as a detector in PyTorch.

    Args:
        program: of :func:`lbwdet.deploy.lower.lower`, calibrated or not.
        weights: by layer.
        quantized: round every value that ``program.quantizations`` names and take the
            integer weights (without the levels that integers cannot hold).
        inputs: quantizations by layer; each rounds what its layer reads, as training does.
    """

    def __init__(
        self,
        program: Program,
        weights: Mapping[str, StoredWeight],
        quantized: bool = False,
        inputs: Mapping[str, Quantization] | None = None,
    ) -> None:
        self.program = program
        self.inputs = inputs or {}
        self.quantizations = program.quantizations if quantized else {}
        self._layers = {name: _Layer.of(weight, quantized) for name, weight in weights.items()}

    @torch.no_grad()
    def run(self, image: Array, observe: Observer | None = None) -> dict[str, Tensor]:
        """Every value of the program: maps [n, c, h, w], boxes [n, 4].

        Args:
            image: uint8 [H, W, 3], BGR.
            observe: called with every value's name and the value, before rounding.

        Returns:
            By name; ``'boxes', 'scores', 'labels'`` are the detections in original pixels.
        """
        values: dict[str, Tensor] = {}
        sizes = ImageSizes((image.shape[0], image.shape[1]), (image.shape[0], image.shape[1]))
        for operation in self.program.operations:
            if isinstance(operation, Preprocess):
                result, sizes = preprocess(operation, image)
            elif isinstance(operation, Detections):
                boxes, scores, labels = detections(operation, values, sizes)
                return values | {"boxes": boxes, "scores": scores, "labels": labels}
            else:
                result = self._compute(operation, values, sizes)
            name = operation.output
            if observe is not None:
                observe(name, result)
            if name in self.quantizations and not isinstance(operation, Requantize):
                result = fake_quantize(result, self.quantizations[name])
            values[name] = result
        return values

    def detect(self, image: Array) -> tuple[Array, Array, Array]:
        """Boxes float32 [n, 4] in original pixels, scores float32 [n], labels int64 [n]."""
        found = self.run(image)
        return found["boxes"].numpy(), found["scores"].numpy(), found["labels"].numpy()

    def _compute(
        self, operation: Operation, values: Mapping[str, Tensor], sizes: ImageSizes
    ) -> Tensor:
        if isinstance(operation, Conv):
            value = values[operation.input]
            if operation.layer in self.inputs:
                value = fake_quantize(value, self.inputs[operation.layer])
            return _convolve(operation, self._layers[operation.layer], value, values)
        if isinstance(operation, Requantize):
            value, q = values[operation.input], self.quantizations
            return requantize(value, q[operation.input], q[operation.output]) if q else value
        if isinstance(operation, MaxPool):
            value, padding = values[operation.input], operation.padding
            # Not max_pool2d's own padding, which is limited to half the kernel.
            value = F.pad(value, (padding[1], padding[1], padding[0], padding[0]), value=-torch.inf)
            return F.max_pool2d(value, operation.kernel, operation.stride)
        if isinstance(operation, Proposals):
            return proposals(operation, values, sizes)
        if isinstance(operation, PSRoIAlign):
            return _ps_roi_align(operation, values)
        assert isinstance(operation, RoIAlign)
        return _roi_align(operation, values)


@dataclass(frozen=True)
class _Layer:
    weight: Tensor  # [o, i, kh, kw]
    gain: Tensor  # [1, o, 1, 1]
    bias: Tensor

    @staticmethod
    def of(stored: StoredWeight, integer: bool) -> "_Layer":
        weight = stored.dequantize()
        if integer:
            integers = stored.integers()
            weight = (integers.integers * integers.scale[:, None, None, None]).astype(np.float32)
        return _Layer(
            torch.from_numpy(np.ascontiguousarray(weight)),
            torch.from_numpy(stored.gain).view(1, -1, 1, 1),
            torch.from_numpy(stored.bias).view(1, -1, 1, 1),
        )


def preprocess(operation: Preprocess, image: Array) -> tuple[Tensor, ImageSizes]:
    """The network's input [1, 3, h, w] of a uint8 [H, W, 3] BGR image, resized by OpenCV."""
    height, width = image.shape[:2]
    target_height, target_width = resized_shape(operation, height, width)
    if (target_height, target_width) != (height, width):
        image = cv2.resize(image, (target_width, target_height), interpolation=cv2.INTER_LINEAR)
    if operation.to_rgb:
        image = image[..., ::-1]
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float()
    mean, std = (torch.tensor(three).view(3, 1, 1) for three in (operation.mean, operation.std))
    right, bottom = (-size % operation.size_divisor for size in (target_width, target_height))
    padded = F.pad((pixels - mean) / std, (0, right, 0, bottom))
    return padded[None], ImageSizes((height, width), (target_height, target_width))


def _convolve(
    operation: Conv, layer: _Layer, value: Tensor, values: Mapping[str, Tensor]
) -> Tensor:
    result = F.conv2d(
        value,
        layer.weight,
        None,
        operation.stride,
        operation.padding,
        operation.dilation,
    )
    result = result * layer.gain + layer.bias
    if operation.residual is not None:
        residual = values[operation.residual]
        if operation.upsample:
            rows, columns = (
                torch.arange(size) * source // size
                for size, source in zip(result.shape[2:], residual.shape[2:], strict=True)
            )
            residual = residual[:, :, rows][:, :, :, columns]
        result = result + residual
    return result.relu() if operation.relu else result


def _roi_align(operation: RoIAlign, values: Mapping[str, Tensor]) -> Tensor:
    boxes = values[operation.boxes]
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt() / operation.finest_scale + 1e-6
    level = sum((sides >= 2**step).long() for step in range(1, len(operation.inputs)))
    maps = [values[name] for name in operation.inputs]
    result = maps[0].new_zeros(len(boxes), maps[0].shape[1], operation.size, operation.size)
    for index, (features, stride) in enumerate(zip(maps, operation.strides, strict=True)):
        chosen = torch.nonzero(torch.as_tensor(level == index).expand(len(boxes)))[:, 0]
        result[chosen] = torchvision.ops.roi_align(
            features,
            [boxes[chosen]],
            operation.size,
            spatial_scale=1 / stride,
            sampling_ratio=operation.sampling_ratio or -1,
            aligned=True,
        )
    return result


def _ps_roi_align(operation: PSRoIAlign, values: Mapping[str, Tensor]) -> Tensor:
    cells: Tensor = torchvision.ops.ps_roi_align(
        values[operation.input],
        [values[operation.boxes]],
        operation.size,
        spatial_scale=1 / operation.stride,
        sampling_ratio=operation.sampling_ratio or -1,
    )
    return cells.mean((2, 3), keepdim=True)


def proposals(operation: Proposals, values: Mapping[str, Tensor], sizes: ImageSizes) -> Tensor:
    """Boxes [n, 4] from the proposal head, best first."""
    scores, boxes, levels = [], [], []
    for index, names in enumerate(zip(operation.scores, operation.deltas, strict=True)):
        logits, deltas = (values[name][0].permute(1, 2, 0) for name in names)
        anchors = _anchors(operation.base_anchors[index], operation.strides[index], logits.shape)
        order = logits.flatten().argsort(descending=True, stable=True)[: operation.pre_nms]
        scores.append(logits.flatten()[order])
        decoded = decode(operation.coder, anchors[order], deltas.reshape(-1, 4)[order], sizes)
        boxes.append(decoded)
        levels.append(torch.full((len(order),), index))
    score, box, level = torch.cat(scores), torch.cat(boxes), torch.cat(levels)
    if operation.min_size >= 0:
        large = ((box[:, 2:] - box[:, :2]) > operation.min_size).all(1)
        score, box, level = score[large], box[large], level[large]
    kept = _suppress(box, score, level, operation.iou_threshold)
    return box[kept[: operation.max_boxes]]


def detections(
    operation: Detections, values: Mapping[str, Tensor], sizes: ImageSizes
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes [n, 4] in original pixels, scores [n] and labels [n]."""
    rois, classes = values[operation.boxes], operation.num_classes
    scores = values[operation.scores].flatten(1).softmax(1)[:, :classes]
    deltas = values[operation.deltas].reshape(len(rois), -1, 4)
    boxes = decode(operation.coder, rois[:, None], deltas, sizes)
    original, resized = torch.tensor(sizes.original), torch.tensor(sizes.resized)
    factors = 1 / (resized / original).flip(0).repeat(2)
    boxes = (boxes * factors).expand(len(rois), classes, 4)
    box, label = torch.nonzero(scores > operation.score_threshold).T
    boxes, score = boxes[box, label], scores[box, label]
    kept = _suppress(boxes, score, label, operation.iou_threshold)[: operation.max_boxes]
    return boxes[kept], score[kept], label[kept]


def decode(coder: BoxCoder, anchors: Tensor, deltas: Tensor, sizes: ImageSizes) -> Tensor:
    """Boxes [..., 4] from anchors and deltas [..., 4], clamped to the resized image."""
    deltas = deltas * deltas.new_tensor(coder.stds) + deltas.new_tensor(coder.means)
    limit = abs(float(np.log(coder.max_ratio)))
    extent = anchors[..., 2:] - anchors[..., :2]
    centre = (anchors[..., 2:] + anchors[..., :2]) * 0.5 + extent * deltas[..., :2]
    half = extent * deltas[..., 2:].clamp(-limit, limit).exp() * 0.5
    boxes = torch.cat([centre - half, centre + half], -1)
    height, width = sizes.resized
    return boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))


def _anchors(base: tuple[tuple[float, ...], ...], stride: int, shape: torch.Size) -> Tensor:
    """[h * w * A, 4], in the order y, x, anchor."""
    rows, columns = (torch.arange(size) * float(stride) for size in shape[:2])
    shift = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).repeat(1, 1, 2)
    return (shift[:, :, None] + torch.tensor(base)).reshape(-1, 4)


def _suppress(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes kept, best first; boxes of different groups do not meet."""
    # torchvision compares in float64, where an overlap of float32(0.7) exceeds 0.7.
    threshold = torch.tensor(threshold).item()
    kept = [
        mine[torchvision.ops.nms(boxes[mine], scores[mine], threshold)]
        for group in groups.unique()
        for mine in torch.nonzero(groups == group).T
    ]
    found = torch.cat(kept) if kept else groups.new_zeros(0)
    return found[scores[found].argsort(descending=True, stable=True)]
