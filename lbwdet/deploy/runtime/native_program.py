"""A program in the structs of the native library; every real number is computed here."""

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lbwdet.deploy.runtime import native_library as structs
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.operations import (
    BoxCoder,
    Conv,
    Detections,
    MaxPool,
    Operation,
    Preprocess,
    Proposals,
    PSRoIAlign,
    Requantize,
    RoIAlign,
)
from lbwdet.deploy.runtime.requantize_table import requantize_table

Array = NDArray[Any]


class Describer:
    """Translates the operations of one artifact.

    Attributes:
        indices: of the values, by name.
        values: by index: whether float, zero point, maximum, whether rounded up.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._quantizations = artifact.program.quantizations
        outputs = [
            operation.output
            for operation in artifact.program.operations
            if not isinstance(operation, Detections)
        ]
        self.indices = {name: index for index, name in enumerate(outputs)}
        self.values = [self._value(name) for name in outputs]
        self._arrays: list[Array] = []

    def _value(self, name: str) -> tuple[int, int, int, int]:
        if name not in self._quantizations:
            return (1, 0, 0, 0)
        q = self._quantizations[name]
        return (0, q.zero_point, q.maximum, int(q.rounding == "ceil"))

    def describe(self, operation: Operation) -> tuple[str, ctypes.Structure]:
        """The library's function that adds the operation, and its argument.

        The arrays that the argument points to live until the next call.
        """
        self._arrays.clear()
        match operation:
            case Preprocess():
                return "lbw_add_preprocess", self._preprocess(operation)
            case Conv():
                return "lbw_add_conv", self._conv(operation)
            case MaxPool():
                return "lbw_add_max_pool", self._max_pool(operation)
            case Requantize():
                return "lbw_add_requantize", self._requantize(operation)
            case Proposals():
                return "lbw_add_proposals", self._proposals(operation)
            case RoIAlign():
                return "lbw_add_roi_align", self._roi_align(operation)
            case PSRoIAlign():
                return "lbw_add_ps_roi_align", self._ps_roi_align(operation)
            case Detections():
                return "lbw_add_detections", self._detections(operation)

    def _preprocess(self, operation: Preprocess) -> ctypes.Structure:
        q = self._quantizations[operation.output]
        pixels = np.arange(256, dtype=np.float64)
        table = [
            np.clip(np.rint((pixels - mean) / std / q.scale) + q.zero_point, 0, q.maximum)
            for mean, std in zip(operation.mean, operation.std, strict=True)
        ]
        return structs.PreprocessStruct(
            output=self.indices[operation.output],
            width=operation.size[0],
            height=operation.size[1],
            keep_ratio=operation.keep_ratio,
            to_rgb=operation.to_rgb,
            size_divisor=operation.size_divisor,
            table=self._pointer(table, np.uint8),
        )

    def _conv(self, operation: Conv) -> ctypes.Structure:
        stored = self._artifact.weights[operation.layer]
        weight = stored.integers()
        outputs, inputs = weight.integers.shape[:2]
        scale_in = self._quantizations[operation.input].scale
        scale_out, ratio = 1.0, 0.0
        if operation.output in self._quantizations:
            scale_out = self._quantizations[operation.output].scale
        if operation.residual is not None:
            ratio = self._quantizations[operation.residual].scale / scale_out
        gain = stored.gain.astype(np.float64)
        return structs.ConvStruct(
            input=self.indices[operation.input],
            residual=-1 if operation.residual is None else self.indices[operation.residual],
            output=self.indices[operation.output],
            in_channels=inputs,
            out_channels=outputs,
            kernel=operation.kernel,
            stride=operation.stride,
            padding=operation.padding,
            dilation=operation.dilation,
            relu=operation.relu,
            upsample=operation.upsample,
            ratio=ratio,
            integers=self._pointer(weight.integers, np.int8),
            multiplier=self._pointer(scale_in * weight.scale * gain / scale_out, np.float32),
            offset=self._pointer(stored.bias.astype(np.float64) / scale_out, np.float32),
        )

    def _max_pool(self, operation: MaxPool) -> ctypes.Structure:
        return structs.MaxPoolStruct(
            input=self.indices[operation.input],
            output=self.indices[operation.output],
            kernel=operation.kernel,
            stride=operation.stride,
            padding=operation.padding,
        )

    def _requantize(self, operation: Requantize) -> ctypes.Structure:
        ends = (self._quantizations[name] for name in (operation.input, operation.output))
        return structs.RequantizeStruct(
            input=self.indices[operation.input],
            output=self.indices[operation.output],
            table=self._pointer(requantize_table(*ends), np.uint8),
        )

    def _proposals(self, operation: Proposals) -> ctypes.Structure:
        return structs.ProposalsStruct(
            output=self.indices[operation.output],
            num_levels=len(operation.scores),
            num_anchors=len(operation.base_anchors[0]),
            scores=self._values_of(operation.scores),
            deltas=self._values_of(operation.deltas),
            strides=self._pointer(operation.strides, np.int32),
            base_anchors=self._pointer(operation.base_anchors, np.float32),
            coder=_coder(operation.coder),
            pre_nms=operation.pre_nms,
            max_boxes=operation.max_boxes,
            iou_threshold=operation.iou_threshold,
            min_size=operation.min_size,
        )

    def _roi_align(self, operation: RoIAlign) -> ctypes.Structure:
        scale_out = self._quantizations[operation.output].scale
        ratios = [self._quantizations[name].scale / scale_out for name in operation.inputs]
        return structs.RoIAlignStruct(
            boxes=self.indices[operation.boxes],
            output=self.indices[operation.output],
            num_levels=len(operation.inputs),
            inputs=self._values_of(operation.inputs),
            scales=self._pointer([1 / stride for stride in operation.strides], np.float32),
            ratios=self._pointer(ratios, np.float32),
            size=operation.size,
            sampling_ratio=operation.sampling_ratio,
            finest_scale=operation.finest_scale,
        )

    def _ps_roi_align(self, operation: PSRoIAlign) -> ctypes.Structure:
        return structs.PSRoIAlignStruct(
            input=self.indices[operation.input],
            boxes=self.indices[operation.boxes],
            output=self.indices[operation.output],
            size=operation.size,
            sampling_ratio=operation.sampling_ratio,
            scale=1 / operation.stride,
        )

    def _detections(self, operation: Detections) -> ctypes.Structure:
        return structs.DetectionsStruct(
            scores=self.indices[operation.scores],
            deltas=self.indices[operation.deltas],
            boxes=self.indices[operation.boxes],
            num_classes=operation.num_classes,
            class_agnostic=operation.class_agnostic,
            coder=_coder(operation.coder),
            score_threshold=operation.score_threshold,
            iou_threshold=operation.iou_threshold,
            max_boxes=operation.max_boxes,
        )

    def _pointer(self, values: ArrayLike, dtype: Any) -> Any:
        """Of a dense copy of the values, which lives until the next operation is described."""
        array: Array = np.ascontiguousarray(values, dtype)
        self._arrays.append(array)
        return array.ctypes.data_as(ctypes.POINTER(np.ctypeslib.as_ctypes_type(dtype)))

    def _values_of(self, names: tuple[str, ...]) -> Any:
        return self._pointer([self.indices[name] for name in names], np.int32)


def _coder(coder: BoxCoder) -> structs.BoxCoderStruct:
    return structs.BoxCoderStruct(
        means=coder.means,
        stds=coder.stds,
        max_log_ratio=abs(math.log(coder.max_ratio)),
    )
