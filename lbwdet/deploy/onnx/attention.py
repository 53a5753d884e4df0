from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.shapes import Map
from lbwdet.errors import ConfigError


@export.register
def attention(operation: Attention, values: Values) -> str:
    """Of all pixels, by two products of matrices [n, heads, pixels, channels of a head]."""
    if operation.window:
        raise ConfigError(
            f"{operation.output}: ONNX export knows no attention in windows; the .lbw file runs "
            "in the engine"
        )
    if operation.kept is not None:
        raise ConfigError(
            f"{operation.output}: ONNX export knows no attention of which some pixels are kept; "
            "the .lbw file runs in the engine"
        )
    if operation.seen is not None:
        raise ConfigError(
            f"{operation.output}: ONNX export knows no attention of which some keys are not seen; "
            "the .lbw file runs in the engine"
        )
    graph = values.graph

    def heads(name: str) -> str:
        depth, source = _channels(values, name) // operation.heads, values.read(name)
        if operation.across:  # the boxes' pixels as those of one image
            source = graph("Transpose", source, perm=[2, 1, 0, 3])
        return graph("Reshape", source, [0, operation.heads, depth, -1])

    query = graph("Transpose", heads(operation.query), perm=[0, 1, 3, 2])
    logits = graph("Mul", graph("MatMul", query, heads(operation.key)), float(operation.scale))
    weights = graph("Transpose", graph("Softmax", logits, axis=-1), perm=[0, 1, 3, 2])
    mean = graph("MatMul", heads(operation.value), weights)
    if operation.across:
        mean = graph("Reshape", mean, [1, _channels(values, operation.value), 1, -1])
        return values.store(operation.output, graph("Transpose", mean, perm=[3, 1, 2, 0]))
    shape = graph("Shape", values.tensors[operation.query])
    sides = graph("Slice", shape, [2], [4])
    shape = graph("Concat", [0, _channels(values, operation.value)], sides, axis=0)
    return values.store(operation.output, graph("Reshape", mean, shape))


def _channels(values: Values, name: str) -> int:
    found = values.shapes[name]
    assert isinstance(found, Map)
    return found.channels
