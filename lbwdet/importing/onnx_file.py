"""The convolutions of an ONNX file, in the order of its graph, and what the graph computes."""

from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.errors import CheckpointError

Convolutions = list[tuple[np.ndarray, np.ndarray]]


def read_convolutions(path: str | Path) -> Convolutions:
    """Weight [out, in / groups, k, k] and bias [out] of every Conv, float32, first to last.

    Raises:
        CheckpointError: there is no such file, it is no ONNX model, or it has a convolution
            whose numbers are not in it, without a bias, or not finite.
    """
    import onnx
    from onnx import numpy_helper

    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        model = onnx.load(str(path))
        stored = {entry.name: entry for entry in model.graph.initializer}
        found: Convolutions = []
        for node in (node for node in model.graph.node if node.op_type == "Conv"):
            if len(node.input) < 3 or not all(name in stored for name in node.input[1:]):
                raise CheckpointError(
                    f"{path}: {node.name or node.output[0]} has no stored weight and bias; export "
                    "it with batch norm folded in, as YOLOX's tools/export_onnx.py does"
                )
            weight, bias = (numpy_helper.to_array(stored[name]) for name in node.input[1:3])
            found.append((weight.astype(np.float32), bias.astype(np.float32)))
    except CheckpointError:
        raise
    except Exception as error:  # protobuf's and numpy's, on whatever bytes these are
        raise CheckpointError(f"{path}: not an ONNX model ({error})") from error
    if not all(np.isfinite(values).all() for pair in found for values in pair):
        raise CheckpointError(f"{path}: has weights that are NaN or infinite")
    return found


class Graph:
    """A network of one image in ONNX Runtime, on the CPU.

    Args:
        path: of a model with one input [1, 3, h, w].

    Attributes:
        size: h, w.

    Raises:
        CheckpointError: it cannot be run, or has other inputs.
    """

    def __init__(self, path: str | Path) -> None:
        import onnxruntime

        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has types of its own for each cause
            raise CheckpointError(f"{path}: ONNX Runtime cannot run it ({error})") from error
        inputs: list[Any] = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3:
            shapes = [entry.shape for entry in inputs]
            raise CheckpointError(f"{path}: its inputs are {shapes}, not one image [1, 3, h, w]")
        self._name = inputs[0].name
        height, width = (side if isinstance(side, int) else 416 for side in inputs[0].shape[2:])
        self.size = (height, width)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._session.run(None, {self._name: image})[0]
        return found
