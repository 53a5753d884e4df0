from collections.abc import Callable
from math import sqrt

from onnx import TensorProto

from lbwdet.deploy.onnx.graph import Graph
from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.onnx.values import Values
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.errors import ConfigError


@export.register
def lookup(operation: Lookup, values: Values) -> str:
    """The contract's table, exactly; of a float map, the function itself."""
    graph, stored = values.graph, values.tensors[operation.input]
    if operation.input in values.quantizations:
        source = values.quantizations[operation.input]
        table = operation.table(source, values.quantizations.get(operation.output))
        return graph("Gather", table, graph.cast(stored, TensorProto.INT32))
    if operation.function not in FUNCTIONS:
        raise ConfigError(
            f"ONNX export knows no function {operation.function!r} of float maps; "
            f"it knows {', '.join(FUNCTIONS)}"
        )
    real = FUNCTIONS[operation.function](graph, stored, *operation.parameters)
    return values.store(operation.output, real)


def _gelu(graph: Graph, x: str) -> str:
    share = graph("Add", graph("Erf", graph("Mul", x, sqrt(0.5))), 1.0)
    return graph("Mul", graph("Mul", x, 0.5), share)


def _gelu_tanh(graph: Graph, x: str) -> str:
    cubed = graph("Mul", graph("Mul", x, x), x)
    inner = graph("Mul", graph("Add", x, graph("Mul", cubed, 0.044715)), 0.7978845608028654)
    return graph("Mul", graph("Mul", x, 0.5), graph("Add", graph("Tanh", inner), 1.0))


FUNCTIONS: dict[str, Callable[..., str]] = {
    "identity": lambda graph, x: x,
    "relu": lambda graph, x: graph("Relu", x),
    "clamp": lambda graph, x, low, high: graph("Min", graph("Max", x, low), high),
    "leaky_relu": lambda graph, x, slope: graph("LeakyRelu", x, alpha=slope),
    "elu": lambda graph, x, alpha: graph("Elu", x, alpha=alpha),
    "sigmoid": lambda graph, x: graph("Sigmoid", x),
    "exp": lambda graph, x: graph("Exp", graph("Min", graph("Max", x, -80.0), 80.0)),
    "silu": lambda graph, x: graph("Mul", x, graph("Sigmoid", x)),
    "tanh": lambda graph, x: graph("Tanh", x),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hard_sigmoid": lambda graph, x: graph("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "hard_swish": lambda graph, x: graph("HardSwish", x),
    "mish": lambda graph, x: graph("Mul", x, graph("Tanh", graph("Softplus", x))),
    "affine": lambda graph, x, factor, offset: graph("Add", graph("Mul", x, factor), offset),
}
