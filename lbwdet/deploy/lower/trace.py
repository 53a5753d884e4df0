"""From a module to the list of tensor operations that it performs."""

import contextlib
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._dynamo.exc import UserError
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from lbwdet.deploy.lower.single_calls import single_calls
from lbwdet.deploy.lower.standardized_weights import standardized_weights
from lbwdet.errors import ConfigError, first_line
from lbwdet.layers import QuantLayer

_ON_VALUES = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    GuardOnDataDependentSymNode,
    UserError,
)


class Name(str):
    """A tensor among a call's arguments: a value's name, or a constant's."""


@dataclass(frozen=True)
class Call:
    """One ATen operator.

    Attributes:
        op: its name, without overload and without the mark of in-place variants.
        output: name of its result; of a tuple, the first.
        arguments: by the operator's own argument names, defaults included; tensors are
            :class:`Name`. With ``index``, where the operator returns a list: a call for each.
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
    """Calls in the order of execution; none changes a tensor in place.

    Attributes:
        inputs: shapes of the values that come from outside, by name.
        constants: parameters and buffers by their dotted names, and what is computed from
            nothing else.
        made_of: of each computed constant, the parameters and buffers that it depends on.
        calls: that depend on an input.
        outputs: names of values.
    """

    inputs: dict[str, tuple[int, ...]]
    constants: dict[str, Any]
    made_of: dict[str, frozenset[str]]
    calls: tuple[Call, ...]
    outputs: tuple[str, ...]


class Part(nn.Module):
    """Some computation of a model as a module, for parameters keep their names in the model."""

    def __init__(self, model: nn.Module, compute: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.compute = compute

    def forward(self, sample: Tensor, *others: Tensor) -> Any:
        return self.compute(self.model, sample, *others)


def trace(model: nn.Module, compute: Callable[..., Any], *samples: Tensor) -> Graph:
    """The operations of ``compute(model, *samples)``, layers taken as float.

    Changes in place become operations with results of their own; what is inside of ``autocast`` is
    there like everything else.

    Args:
        model: in eval mode; unchanged afterwards.
        compute: returns a tensor, or tuples and lists of tensors.
        samples: only their shapes and types matter.

    Raises:
        ConfigError: the computation depends on values, or is otherwise no plain graph.
    """
    part = Part(model, compute).eval()
    try:
        with standardized_weights(model), float_layers(model), single_calls(), torch.no_grad():
            with shared_settings(model):
                program = torch.export.export(part, samples, strict=False)
            if not all(_is_plain(node) for node in program.graph.nodes):
                # Takes longer than all the rest, so only where it changes something.
                program = program.run_decompositions({})
            return _read(program)
    except Exception as error:  # whatever a module's code and the tracer raise
        place = _place(model, error)
        raise ConfigError(f"{place} cannot be lowered: {_why(error)}") from error


def _place(model: nn.Module, error: Exception) -> str:
    """The innermost module of ``model`` whose code was running; the model's class if it is none."""
    names = {id(module): name for name, module in model.named_modules()}
    place = type(model).__name__
    trace = error.__traceback__
    while trace is not None:
        place = names.get(id(trace.tb_frame.f_locals.get("self")), "") or place
        trace = trace.tb_next
    return place


def _why(error: Exception) -> str:
    """One line; for what needs the numbers themselves, what that means."""
    message = first_line(error)
    if isinstance(error, _ON_VALUES):
        return (
            "what it computes depends on the values of the image, where an engine runs the same "
            f"operations on every image ({message})"
        )
    return f"tracing it failed ({message})"


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


@contextlib.contextmanager
def shared_settings(model: nn.Module) -> Iterator[None]:
    """After the block modules that shared a dict do so again; exporting gives each its own."""
    before = [
        (module, {name: value for name, value in vars(module).items() if type(value) is dict})
        for module in model.modules()
    ]
    try:
        yield
    finally:
        for module, found in before:
            vars(module).update(found)


def _read(program: torch.export.ExportedProgram) -> Graph:
    reader = _Reader(program)
    for node in program.graph.nodes:
        if node.op == "placeholder":
            reader.placeholder(node)
        elif node.op == "call_function" and (node.users or _is_in_place(node)):
            reader.call(node)
    return reader.graph()


def _is_plain(node: fx.Node) -> bool:
    """Neither a graph in the graph, nor a change in place that other names see, too."""
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return False
    if not _is_in_place(node):
        return True
    changed = node.args[0]
    assert isinstance(changed, fx.Node)
    return not (
        changed.op == "placeholder" or _is_view(changed) or any(map(_is_view, changed.users))
    )


def _is_in_place(node: fx.Node) -> bool:
    returns = _returns(node)
    return bool(returns) and returns[0].alias_info is not None and returns[0].alias_info.is_write


def _is_view(node: fx.Node) -> bool:
    returns = _returns(node)
    return any(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _returns(node: fx.Node) -> list[Any]:
    schema = getattr(node.target, "_schema", None)
    return [] if schema is None else list(schema.returns)


class _Reader:
    """Goes through an exported program, whose constants it computes."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self._program = program
        signature = program.graph_signature
        self._stored = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        self._names: dict[fx.Node, Name] = {}
        self._inputs: dict[str, tuple[int, ...]] = {}
        self._constants: dict[str, Any] = {}
        self._made_of: dict[str, frozenset[str]] = {}
        self._calls: list[Call] = []

    def placeholder(self, node: fx.Node) -> None:
        if node.name not in self._stored:
            self._names[node] = Name(node.name)
            self._inputs[node.name] = tuple(node.meta["val"].shape)
            return
        stored = self._stored[node.name]
        name = self._names[node] = Name(stored.removeprefix("model."))
        state = self._program.state_dict
        self._constants[name] = (
            state[stored] if stored in state else self._program.constants[stored]
        )

    def call(self, node: fx.Node) -> None:
        name = Name(node.name)
        sources = [self._names.get(source, "") for source in node.all_input_nodes]
        if all(source in self._constants for source in sources) and _is_pure(node):
            self._constants[name] = self._compute(node)
            self._made_of[name] = frozenset().union(
                *(self._made_of.get(source, {source}) for source in sources)
            )
        elif _is_list(node):
            pass  # each of its results that is read is a call
        elif node.target is operator.getitem and _is_list(node.all_input_nodes[0]):
            self._calls.append(self._call(node.all_input_nodes[0], node))
        elif node.target is operator.getitem and node.args[1] == 0:
            name = self._names[node.all_input_nodes[0]]
        else:
            self._calls.append(self._call(node))
        self._names[node] = name
        if _is_in_place(node):  # from here on, whoever reads the old value reads the new one
            old = self._names[node.all_input_nodes[0]]
            self._names.update(
                {other: name for other, known in self._names.items() if known == old}
            )

    def graph(self) -> Graph:
        (output,) = (node for node in self._program.graph.nodes if node.op == "output")
        outputs = [self._names[node] for node in output.args[0] if isinstance(node, fx.Node)]
        return Graph(
            self._inputs, self._constants, self._made_of, tuple(self._calls), tuple(outputs)
        )

    def _compute(self, node: fx.Node) -> Any:
        arguments = fx.node.map_arg(
            (node.args, node.kwargs), lambda source: self._constants[self._names[source]]
        )
        assert callable(node.target)
        return node.target(*arguments[0], **arguments[1])

    def _call(self, node: fx.Node, result: fx.Node | None = None) -> Call:
        schema = getattr(node.target, "_schema", None)
        arguments: dict[str, Any] = {}
        if schema is not None:
            arguments = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
            order = [argument.name for argument in schema.arguments]
            arguments |= dict(zip(order, node.args, strict=False)) | node.kwargs
        if result is not None:
            arguments["index"] = result.args[1]
        op = _op(node)
        if node.target is operator.getitem:
            source, index = node.args
            assert isinstance(source, fx.Node)
            op = f"result {index} of {_op(source)}"
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        value = (result or node).meta.get("val")
        first = value[0] if isinstance(value, tuple | list) else value
        return Call(
            op=op,
            output=(result or node).name,
            arguments=fx.node.map_arg(arguments, lambda argument: self._names[argument]),
            module=stack[-1][0].removeprefix("model.") if stack else "",
            shape=tuple(getattr(first, "shape", ())),
        )


def _is_list(node: fx.Node) -> bool:
    """Whether its results are alike and as many as there happen to be, as those of a split."""
    returns = _returns(node)
    return len(returns) == 1 and str(returns[0].type) == "List[Tensor]"


def _op(node: fx.Node) -> str:
    return (
        str(node.target)
        .removeprefix("aten.")
        .removeprefix("lbwdet.")
        .removeprefix("torchvision.")
        .split(".")[0]
        .removesuffix("_")
    )


def _is_pure(node: fx.Node) -> bool:
    """Whether it gives the same result each time."""
    return torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ())
