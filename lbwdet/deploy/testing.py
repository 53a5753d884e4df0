"""Small random detectors and layers in lowered form, for the tests of every engine.

>>> artifact = tiny_artifact(seed=1)
>>> artifact.classes
('class0', 'class1', 'class2')
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.lookup import requantize
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.random_cases import random_weight
from lbwdet.deploy.runtime.weights import StoredWeight

Array = NDArray[Any]

_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_IMAGE_SCALE = 4.9 / 255  # normalized pixels lie between -2.2 and 2.7
_MAX_RATIO = 16 / 1000


def random_image(seed: int, height: int, width: int) -> Array:
    """uint8 [height, width, 3]: filled rectangles on a coloured ramp, a little noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows, columns, rows + columns], -1) * 90.0 / max(height, width) + 60
    for _ in range(6):
        (y1, y2), (x1, x2) = (np.sort(random.integers(0, n + 1, 2)) for n in (height, width))
        image[y1:y2, x1:x2] = random.integers(0, 256, 3)
    return np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def tiny_artifact(
    seed: int = 0,
    bit_width: int = 4,
    code: str = "dense",
    granularity: str = "tensor",
    activation_bits: int = 8,
    channels: int = 8,
    num_classes: int = 3,
    size: tuple[int, int] = (128, 96),
    keep_ratio: bool = True,
    class_agnostic: bool = False,
) -> Artifact:
    """A Faster R-CNN with a ResNet of one bottleneck per stage, and random weights.

    It has every operation and finds boxes in any image, for no good reason.

    Args:
        seed: decides every weight.
        bit_width, code, granularity: of the low-bit weights, see :func:`random_weight`;
            stem and predictors are ``'uniform'``.
        activation_bits: 8 or 4; 4 rounds up, as trained activations do, except what has both
            signs. What residuals and RoIAlign read stays at 8 bits, and is requantized.
        channels: of the stem; everything else follows.
        num_classes: without the background.
        size, keep_ratio: of the resized image, see ``Preprocess``.
        class_agnostic: one box per proposal instead of one per class.
    """
    net = _Network(np.random.default_rng(seed), bit_width, code, granularity, activation_bits)
    stages = net.backbone(channels, size, keep_ratio, strides=(1, 2, 2, 2))
    width = 2 * channels
    above: str | None = None
    for index, (stage_output, inputs) in reversed(list(enumerate(stages.items(), start=2))):
        name = f"lateral{index}"
        net.conv(name, stage_output, inputs, width, 1, relu=False, residual=above, upsample=True)
        net.conv(f"p{index}", name, width, width, 3, relu=False)
        above = name
    net.add(MaxPool("p5", "p6", (1, 1), (2, 2)), net.quantizations["p5"])

    levels, strides = [f"p{level}" for level in range(2, 7)], (4, 8, 16, 32, 64)
    net.proposals(levels, strides, width)
    net.add(
        RoIAlign(tuple(levels[:4]), "proposals", "rois", strides[:4], 7, 0, 16.0),
        _quantization(8 / 255, zero_point=128),
    )
    net.conv("fc1", net.low("rois"), width, 4 * channels, 7, padding=0)
    net.conv("fc2", "fc1", 4 * channels, 4 * channels, 1)
    net.conv("scores", "fc2", 4 * channels, num_classes + 1, 1, layer="fc_cls", real=1.5)
    boxes = 1 if class_agnostic else num_classes
    net.conv("deltas", "fc2", 4 * channels, 4 * boxes, 1, layer="fc_reg", real=1.0)
    net.detections(num_classes, class_agnostic)
    return net.artifact(num_classes, seed)


def tiny_rfcn_artifact(
    seed: int = 0,
    bit_width: int = 4,
    channels: int = 8,
    num_classes: int = 3,
    size: tuple[int, int] = (128, 96),
    grid_size: int = 3,
    sampling_ratio: int = 2,
) -> Artifact:
    """An R-FCN with such a ResNet, its last stage dilated; otherwise as :func:`tiny_artifact`.

    Args:
        seed, bit_width, channels, num_classes, size: as there.
        grid_size, sampling_ratio: of ``PSRoIAlign``.
    """
    net = _Network(np.random.default_rng(seed), bit_width, "dense", "tensor", activation_bits=8)
    stages = net.backbone(channels, size, keep_ratio=True, strides=(1, 2, 2, 1), last_dilation=2)
    *_, (third, width), (fourth, inputs) = stages.items()
    net.conv("reduced", fourth, inputs, width, 1)
    for name, outputs, spread in (("scores", num_classes + 1, 6.0), ("deltas", 4, 4.0)):
        # A vote averages cells, which makes it smaller.
        net.conv(f"{name}.map", "reduced", width, outputs * grid_size**2, 1, real=spread)
    net.proposals([third], (16,), width)
    for name in ("scores", "deltas"):
        net.add(PSRoIAlign(f"{name}.map", "proposals", name, 16, grid_size, sampling_ratio))
    net.detections(num_classes, class_agnostic=True)
    return net.artifact(num_classes, seed)


class _Network:
    """Collects the operations, weights and quantizations of a program."""

    def __init__(
        self,
        random: np.random.Generator,
        bit_width: int,
        code: str,
        granularity: str,
        activation_bits: int,
    ) -> None:
        self.random = random
        self.low_bit = (bit_width, code, granularity)
        self.activation_bits = activation_bits
        self.operations: list[Operation] = []
        self.weights: dict[str, StoredWeight] = {}
        self.quantizations: dict[str, Quantization] = {}

    def add(self, operation: Operation, quantization: Quantization | None = None) -> None:
        self.operations.append(operation)
        if quantization is not None:
            self.quantizations[operation.written] = quantization

    def backbone(
        self,
        channels: int,
        size: tuple[int, int],
        keep_ratio: bool,
        strides: tuple[int, int, int, int],
        last_dilation: int = 1,
    ) -> dict[str, int]:
        """From the image to the outputs of the four stages: their names and channels."""
        image = Preprocess(
            "image", size, keep_ratio, mean=_MEAN, std=_STD, to_rgb=True, size_divisor=32
        )
        self.add(image, _quantization(_IMAGE_SCALE, zero_point=115))
        self.conv("stem", "image", 3, channels, 7, stride=2, code="uniform")
        self.widen("stem")
        self.add(MaxPool("stem", "pooled", (3, 3), (2, 2), (1, 1)), self.quantizations["stem"])
        value, inputs, stages = "pooled", channels, {}
        for stage, stride in enumerate(strides, start=1):
            outputs, dilation = 2 * channels * stage, last_dilation if stage == 4 else 1
            value = self.bottleneck(f"stage{stage}", value, inputs, outputs, stride, dilation)
            inputs = stages[value] = outputs
        return stages

    def proposals(self, levels: list[str], strides: tuple[int, ...], width: int) -> None:
        """The proposal head on maps of ``width`` channels."""
        for level in levels:
            self.conv(f"{level}.rpn", self.low(level), width, width, 3, layer="rpn")
            self.conv(f"{level}.scores", f"{level}.rpn", width, 3, 1, layer="rpn_cls", real=1.0)
            self.conv(f"{level}.deltas", f"{level}.rpn", width, 12, 1, layer="rpn_reg", real=0.3)
        self.add(
            Candidates(
                scores=tuple(f"{level}.scores" for level in levels),
                deltas=tuple(f"{level}.deltas" for level in levels),
                output="proposals.candidates",
                strides=strides,
                base_anchors=tuple(_base_anchors(stride) for stride in strides),
                coder=DeltaCoder((0.0,) * 4, (1.0,) * 4, _MAX_RATIO),
                num_classes=1,
                activation="none",
                pre_nms=100,
                min_size=0.0,
            )
        )
        self.add(Suppress("proposals.candidates", "proposals.kept", 0.7, 40, "level"))
        self.add(Regions("proposals.kept", "proposals"))

    def detections(self, num_classes: int, class_agnostic: bool) -> None:
        coder = DeltaCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), _MAX_RATIO)
        self.add(
            RegionCandidates(
                scores="scores",
                deltas="deltas",
                boxes="proposals",
                output="detections.candidates",
                num_classes=num_classes,
                class_agnostic=class_agnostic,
                coder=coder,
                score_threshold=0.05,
            )
        )
        self.add(Rescale("detections.candidates", "detections.rescaled"))
        self.add(Suppress("detections.rescaled", "detections.kept", 0.5, 100, "class"))
        self.add(Detections("detections.kept", num_classes))

    def artifact(self, num_classes: int, seed: int) -> Artifact:
        return Artifact(
            program=Program(tuple(self.operations), self.quantizations),
            weights=self.weights,
            classes=tuple(f"class{index}" for index in range(num_classes)),
            info={"seed": seed},
        )

    def conv(
        self,
        output: str,
        source: str,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        relu: bool = True,
        residual: str | None = None,
        upsample: bool = False,
        layer: str | None = None,
        code: str | None = None,
        real: float = 0.0,
    ) -> str:
        """Adds a convolution; with ``real`` above 0 its output is float of about that size."""
        name = layer or output
        if name not in self.weights:
            low_bit = (8, code or "uniform", "channel") if code or real else self.low_bit
            weight = random_weight(self.random, (outputs, inputs, kernel, kernel), *low_bit)
            weight.gain[:] *= real or 1.4  # 1.4: ReLU leaves half of the energy
            self.weights[name] = weight
        pad = kernel // 2 * dilation if padding is None else padding
        operation = Conv(
            layer=name,
            input=source,
            output=output,
            kernel=(kernel, kernel),
            stride=(stride, stride),
            padding=(pad, pad),
            dilation=(dilation, dilation),
            relu=relu and not real,
            residual=residual,
            upsample=upsample and residual is not None,
        )
        self.add(operation, None if real else self._activation(relu))
        return output

    def bottleneck(
        self, name: str, source: str, inputs: int, outputs: int, stride: int, dilation: int
    ) -> str:
        middle = outputs // 2
        self.conv(f"{name}.1", self.low(source), inputs, middle, 1)
        self.conv(f"{name}.2", f"{name}.1", middle, middle, 3, stride, dilation=dilation)
        skip = self.conv(f"{name}.skip", source, inputs, outputs, 1, stride, relu=False)
        self.conv(f"{name}.3", f"{name}.2", middle, outputs, 1, residual=skip)
        return self.widen(f"{name}.3")

    def widen(self, value: str) -> str:
        """Gives a value of 4 bits the same range in 8."""
        q = self.quantizations[value]
        if q.maximum == 15:
            up = self.random.random() < 0.5
            self.quantizations[value] = _quantization(
                q.scale / 17, rounding="ceil" if up else "nearest"
            )
        return value

    def low(self, value: str) -> str:
        """The value in 4 bits, if that is how layers read."""
        if self.activation_bits == 8:
            return value
        q = self.quantizations[value]
        if q.zero_point:
            low = _quantization(q.scale * 17, round(q.zero_point / 17), 15)
        else:
            low = _quantization(q.scale * float(self.random.uniform(8, 18)), 0, 15, "ceil")
        self.add(requantize(value, f"{value}.low"), low)
        return f"{value}.low"

    def _activation(self, relu: bool) -> Quantization:
        if not relu:
            return _quantization(float(self.random.uniform(7, 9)) / 255, zero_point=128)
        top = float(self.random.uniform(4, 5))
        if self.activation_bits == 4:
            return _quantization(top / 15, maximum=15, rounding="ceil")
        return _quantization(top / 255)


def _base_anchors(stride: int) -> tuple[tuple[float, float, float, float], ...]:
    """Three anchors of 4 strides a side, with the heights 0.5, 1 and 2 times the widths."""
    halves = [
        (_f32(2 * stride / math.sqrt(ratio)), _f32(2 * stride * math.sqrt(ratio)))
        for ratio in (0.5, 1, 2)
    ]
    return tuple((-w, -h, w, h) for w, h in halves)


def _quantization(
    scale: float,
    zero_point: int = 0,
    maximum: int = 255,
    rounding: Literal["nearest", "ceil"] = "nearest",
) -> Quantization:
    return Quantization(_f32(scale), zero_point, maximum, rounding)


def _f32(value: float) -> float:
    return float(np.float32(value))
