"""From a module to the list of tensor operations that it performs."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from lbwdet.errors import ConfigError
from lbwdet.layers import QuantLayer


@dataclass(frozen=True)
class Call:
    """One ATen operator.

    Attributes:
        op: its name, without overload and without the mark of in-place variants.
        output: name of its result.
        arguments: by the operator's own argument names, defaults included. Tensors are
            strings: names of values, or dotted names of parameters and buffers.
        module: dotted name of the module that calls it.
        shape: of its result.
    """

    op: str
    output: str
    arguments: dict[str, Any]
    module: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Calls in the order of execution.

    Attributes:
        inputs: shapes of the values that come from outside, by name.
        parameters: shapes of parameters and buffers, by dotted name.
        outputs: names of values.
    """

    inputs: dict[str, tuple[int, ...]]
    parameters: dict[str, tuple[int, ...]]
    calls: tuple[Call, ...]
    outputs: tuple[str, ...]


class _Part(nn.Module):
    """Some computation of a model as a module, for parameters keep their names in the model."""

    def __init__(self, model: nn.Module, compute: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.model = model
        self.compute = compute

    def forward(self, sample: Tensor) -> Any:
        return self.compute(self.model, sample)


def trace(model: nn.Module, compute: Callable[[Any, Tensor], Any], sample: Tensor) -> Graph:
    """The operations of ``compute(model, sample)``, layers taken as float.

    Args:
        model: in eval mode; unchanged afterwards.
        compute: returns a tensor, or tuples and lists of tensors.
        sample: only its shape and type matter.

    Raises:
        ConfigError: the computation depends on values, or is otherwise no plain graph.
    """
    part = _Part(model, compute).eval()
    try:
        with float_layers(model), torch.no_grad():
            program = torch.export.export(part, (sample,), strict=False)
    except Exception as error:  # whatever a module's code and the tracer raise
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{type(model).__name__} cannot be lowered: tracing it failed ({message})"
        ) from error
    return _read(program)


@contextlib.contextmanager
def float_layers(model: nn.Module) -> Iterator[None]:
    """Inside the block no layer quantizes its weight or its input."""
    layers = [layer for layer in model.modules() if isinstance(layer, QuantLayer)]
    before = [(layer.quantizer, layer._modules.pop("input_quantizer", None)) for layer in layers]
    try:
        for layer in layers:
            layer.quantizer = None
        yield
    finally:
        for layer, (weight, activation) in zip(layers, before, strict=True):
            layer.quantizer = weight
            if activation is not None:
                layer._modules["input_quantizer"] = activation


def _read(program: torch.export.ExportedProgram) -> Graph:
    signature = program.graph_signature
    stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names = {node: stored.get(node.name, node.name) for node in program.graph.nodes}
    names = {node: name.removeprefix("model.") for node, name in names.items()}
    inputs: dict[str, tuple[int, ...]] = {}
    parameters: dict[str, tuple[int, ...]] = {}
    calls = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            shapes = inputs if node.name in signature.user_inputs else parameters
            shapes[names[node]] = tuple(node.meta["val"].shape)
        elif node.op == "call_function" and getattr(node.target, "__name__", "") == "getitem":
            names[node] = names[node.args[0]]  # the one result of interest of several
        elif node.op == "call_function":
            calls.append(_call(node, names))
            if _is_in_place(node):  # from here on, whoever reads the old value reads the new one
                names[node.args[0]] = names[node]
    outputs = [names[node] for node in _output_nodes(program.graph)]
    return Graph(inputs, parameters, tuple(calls), tuple(outputs))


def _call(node: fx.Node, names: dict[fx.Node, str]) -> Call:
    schema = getattr(node.target, "_schema", None)
    arguments: dict[str, Any] = {}
    if schema is not None:
        arguments = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        order = [argument.name for argument in schema.arguments]
        arguments |= dict(zip(order, node.args, strict=False)) | node.kwargs
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    value = node.meta.get("val")
    first = value[0] if isinstance(value, tuple | list) else value
    return Call(
        op=str(node.target).removeprefix("aten.").split(".")[0].rstrip("_"),
        output=names[node],
        arguments=fx.node.map_arg(arguments, lambda argument: names[argument]),
        module=stack[-1][0].removeprefix("model.") if stack else "",
        shape=tuple(getattr(first, "shape", ())),
    )


def _is_in_place(node: fx.Node) -> bool:
    return str(node.target).startswith("aten.") and str(node.target).split(".")[1].endswith("_")


def _output_nodes(graph: fx.Graph) -> list[fx.Node]:
    (output,) = (node for node in graph.nodes if node.op == "output")
    return [node for node in output.args[0] if isinstance(node, fx.Node)]
