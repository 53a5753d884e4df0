"""The int8 of other engines: what their own post-training quantizers make of a float graph."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
Inputs = Mapping[str, Array]


class _Reader:
    """Feeds calibration inputs to ONNX Runtime's quantizer."""

    def __init__(self, inputs: Sequence[Inputs]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> Inputs | None:
        return next(self._inputs, None)


def quantize_onnx(
    path: Path, out: Path, inputs: Sequence[Inputs], exclude: Sequence[str] = ()
) -> None:
    """ONNX Runtime's static quantization: per channel, a pair of nodes around every tensor.

    Args:
        path: the float model.
        out: the int8 model to write.
        inputs: to calibrate on, by name.
        exclude: names of nodes that stay float.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        str(path),
        str(out),
        _Reader(inputs),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(exclude),
    )


def quantize_openvino(model: Any, inputs: Sequence[Any], preset: str = "mixed") -> Any:
    """NNCF's post-training quantization of an OpenVINO model.

    Args:
        model: in float.
        inputs: to calibrate on, as the model takes them.
        preset: ``'mixed'``: activations have zero points; ``'performance'``: they have none.
    """
    import nncf

    return nncf.quantize(
        model,
        nncf.Dataset(list(inputs)),
        preset=nncf.QuantizationPreset(preset),
        subset_size=len(inputs),
    )
