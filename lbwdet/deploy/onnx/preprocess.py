"""From an image of any size to the network's input."""

import numpy as np
from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.errors import ConfigError


@export.register
def preprocess(operation: Preprocess, values: Values) -> str:
    """[1, 3, h, w] from the model's input ``image``, uint8 [H, W, 3].

    Resizing is ONNX's linear interpolation in float32, rounded: now and then a pixel (of noise,
    one in ten) comes out one grey level away from the integer arithmetic of ``Preprocess``.
    """
    graph = values.graph
    graph.input("image", TensorProto.UINT8, ["height", "width", 3])
    if operation.antialias:
        raise ConfigError(
            "ONNX export knows no resizing as Pillow does it; the native engine runs it, or give "
            "backend='cv2' to Resize"
        )
    original = graph("Slice", graph("Shape", "image"), [0], [2])
    resized = _resized(graph, operation, original)
    values.factor = graph(
        "Div", _width_and_height(graph, original), _width_and_height(graph, resized)
    )
    pixels = graph("Transpose", graph.cast("image", TensorProto.FLOAT), perm=(2, 0, 1))
    pixels = graph(
        "Resize",
        graph("Unsqueeze", pixels, [0]),
        "",
        "",
        graph("Concat", [1, 3], resized, axis=0),
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    pixels = graph("Round", pixels)
    padded = _padded(graph, operation, resized)
    values.size = _width_and_height(graph, padded)
    if padded != resized:
        pixel = np.array(operation.pad_pixel, np.float32).reshape(1, 3, 1, 1)
        # exact: grey levels are small integers
        pixels = graph("Add", _pad(graph, graph("Sub", pixels, pixel), resized, padded), pixel)
    if operation.to_rgb:
        pixels = graph("Gather", pixels, np.array([2, 1, 0]), axis=1)
    mean, std = (
        np.array(numbers, np.float32).reshape(1, 3, 1, 1)
        for numbers in (operation.mean, operation.std)
    )
    normalized = graph("Div", graph("Sub", pixels, mean), std)
    least = operation.least_multiple * operation.size_divisor
    enough = padded if operation.least_multiple == 1 else graph("Max", padded, least)
    multiple = _multiple(graph, enough, operation.size_divisor)
    normalized = _pad(graph, normalized, padded, multiple, operation.pad_value)
    return values.quantize(operation.output, normalized)


def _resized(graph: Graph, operation: Preprocess, original: str) -> str:
    """int64 [2]: height and width before padding.

    In integers, where ``Preprocess`` uses float64: OpenVINO 2026.4 computes quotients of
    float64 the wrong way round. They differ where a side lies exactly between two pixels
    and float64 does not show it.
    """
    if not operation.keep_ratio:
        return graph("Identity", [operation.size[1], operation.size[0]])
    longer = graph("ReduceMax", original, axes=[0])
    shorter = graph("ReduceMin", original, axes=[0])
    long, short = max(operation.size), min(operation.size)
    long_decides = graph(
        "LessOrEqual", graph("Mul", shorter, [long]), graph("Mul", longer, [short])
    )
    target = graph("Where", long_decides, [long], [short])
    source = graph("Where", long_decides, longer, shorter)
    # side * target / source, rounded
    doubled = graph("Mul", graph("Mul", original, target), 2)
    rounded = graph("Div", graph("Add", doubled, source), graph("Mul", source, 2))
    return graph("Max", rounded, 1)


def _padded(graph: Graph, operation: Preprocess, resized: str) -> str:
    """int64 [2]: height and width with pixels added."""
    if operation.pad_to_square:
        resized = graph("Expand", graph("ReduceMax", resized, axes=[0]), [2])
    if any(operation.pad_size):
        resized = graph("Max", resized, [operation.pad_size[1], operation.pad_size[0]])
    if operation.pad_divisor > 1:
        resized = _multiple(graph, resized, operation.pad_divisor)
    return resized


def _multiple(graph: Graph, sides: str, divisor: int) -> str:
    """Each side, or the next multiple of the divisor."""
    # -side % divisor; ONNX's Mod has the sign of the divisor, as Python's
    return graph("Add", sides, graph("Mod", graph("Neg", sides), divisor))


def _pad(graph: Graph, maps: str, sides: str, wanted: str, value: float = 0.0) -> str:
    pads = graph("Concat", [0, 0, 0, 0, 0, 0], graph("Sub", wanted, sides), axis=0)
    return graph("Pad", maps, pads, value)


def _width_and_height(graph: Graph, sides: str) -> str:
    return graph.cast(graph("Gather", sides, np.array([1, 0])), TensorProto.FLOAT)
