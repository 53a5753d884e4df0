"""The registry of rules: one ATen call becomes one operation that runs."""

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from torch import Tensor

from lbwdet.deploy.lower.draft import Draft, LayerParameters
from lbwdet.deploy.lower.trace import Call, Graph, Name
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.errors import ConfigError

Result = Operation | str
Rule = Callable[["Site"], Result]
RULES: dict[str, Rule] = {}
F = TypeVar("F", bound=Rule)


def rule(*calls: str) -> Callable[[F], F]:
    """Registers a function for the ATen calls of these names.

    It gets a :class:`Site` and returns the operation that writes ``site.output``, or the name of
    the value that the call leaves as it is.
    """

    def register(function: F) -> F:
        for call in calls:
            if RULES.setdefault(call, function) is not function:
                raise TypeError(f"{call} has a rule already, in {RULES[call].__module__}")
        return function

    return register


class Site:
    """One call, as a rule sees it.

    Attributes:
        call: the call.
        output: name of the value that the operation is to write.
    """

    def __init__(
        self,
        call: Call,
        graph: Graph,
        draft: Draft,
        same: Mapping[str, str],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.call = call
        self.output = call.output
        self._graph = graph
        self._draft = draft
        self._same = same
        self._shapes = shapes

    @functools.cached_property
    def _readers(self) -> Counter[str]:
        """How many calls read each value."""
        return Counter(
            self._same.get(name, name)
            for call in self._graph.calls
            for name in _names(call.arguments)
        )

    def argument(self, name: str) -> Any:
        """A setting of the call; of a constant tensor, the tensor."""
        given = self.call.arguments.get(name)
        return self._graph.constants.get(given, given) if isinstance(given, Name) else given

    def pair(self, name: str) -> tuple[int, int]:
        """A setting for the height and the width."""
        value = self.argument(name)
        first, second = value if len(value) == 2 else (value[0], value[0])
        return int(first), int(second)

    def is_constant(self, name: str) -> bool:
        """Whether an argument is a number, or a tensor that does not depend on the image."""
        given = self.call.arguments[name]
        return not isinstance(given, Name) or given in self._graph.constants

    def value(self, name: str) -> str:
        """The value, computed from the image, that an argument is.

        Raises:
            ConfigError: it is something else.
        """
        return self._value(self.call.arguments[name])

    def values(self, name: str) -> tuple[str, ...]:
        """The values of an argument that is a list of tensors."""
        return tuple(self._value(given) for given in self.call.arguments[name])

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the tensor that an argument is, as it is traced."""
        return self._shapes[self.call.arguments[name]]

    def map(self, value: str) -> tuple[int, int, int]:
        """Channels, height and width of a value, at the size of the trace."""
        return self._draft.maps[value]

    def writer(self, value: str) -> Operation | None:
        """The operation that writes a value; None of the part's input."""
        return self._draft.operations.get(value)

    def read_with(self, value: str) -> list[str]:
        """The other values that calls read together with ``value`` and that are there already."""
        found = []
        for call in self._graph.calls:
            names = [self._same.get(name, name) for name in _names(call.arguments)]
            if value in names:
                found += [name for name in names if name != value and name in self._draft.maps]
        return found

    def maps_of(self, sides: Sequence[int]) -> list[str]:
        """The values that are there already and have this height and width.

        Those first that several calls read: they stay, whatever is fused.
        """
        found = [name for name, (_, *own) in self._draft.maps.items() if own == list(sides)]
        return sorted(found, key=lambda name: self._readers[name] < 2)

    def add_step(
        self, operation: Operation, size: tuple[int, int, int], shared: bool = False
    ) -> str:
        """Puts an operation before the one that the rule returns.

        Args:
            operation: writes a value whose name begins with ``site.output``.
            size: channels, height and width of that value.
            shared: whether one that is there already and computes the same may stand for it.

        Returns:
            The value's name.
        """
        value = operation.written
        if shared:
            for name, other in self._draft.operations.items():
                if other == operation.renamed({value: name}):
                    return name
        self._draft.operations[value] = operation
        self._draft.modules[value] = self.call.module
        self._draft.maps[value] = size
        return value

    def add_layer(
        self, kernel: tuple[int, int], outputs: int, value: str = "", **arrangement: Any
    ) -> str:
        """Takes the call's ``weight`` and ``bias`` for a layer; returns its name.

        Args:
            kernel: height and width.
            outputs: number of output channels.
            value: that the layer's convolution writes, if it is not ``site.output``.
            arrangement: ``transposed``, ``sampled`` or ``in_two``, see
                :class:`~lbwdet.deploy.lower.draft.LayerParameters`.
        """
        weight, bias = self.call.arguments["weight"], self.argument("bias")
        given = [name for name in ("weight", "bias") if name in self.call.arguments]
        if not all(self.is_constant(name) for name in given):
            raise self.refused("with a weight that depends on the image")
        own, name = weight not in self._graph.made_of, value or self.output
        numbers = [0.0] if bias is None else bias.double().tolist()
        self._draft.layers[name] = LayerParameters(
            module=weight.rpartition(".")[0] if own and "." in weight else self.call.module,
            weight=str(weight),
            kernel=kernel,
            gain=(1.0,) * outputs,
            bias=tuple(numbers) * (outputs // len(numbers)),
            **arrangement,
        )
        return name

    def add_part_of_layer(self, value: str, outputs: Sequence[int], written: str = "") -> str:
        """Of the layer whose convolution writes ``value``, some output channels; its name.

        Args:
            value: what the convolution writes.
            outputs: numbers of the channels, in any order.
            written: by the convolution of these channels, if it is not ``site.output``.
        """
        conv, name = self.writer(value), written or self.output
        assert isinstance(conv, Conv)
        self._draft.layers[name] = self._draft.layers[conv.layer].only(tuple(outputs))
        return name

    def divide_by_length(self, value: str, eps: float) -> None:
        """Of the layer whose convolution writes ``value``; see ``LayerParameters.length_eps``."""
        conv = self.writer(value)
        assert isinstance(conv, Conv)
        layers = self._draft.layers
        layers[conv.layer] = replace(layers[conv.layer], length_eps=eps)

    def refused(self, detail: str = "") -> ConfigError:
        """The error that says where and what cannot be lowered."""
        return unsupported(self.call, detail)

    def _value(self, given: Any) -> str:
        if not isinstance(given, Name) or given in self._graph.constants:
            raise self.refused("of numbers that do not depend on the image")
        return self._same.get(given, given)


def unsupported(call: Call, detail: str = "") -> ConfigError:
    """The error for a call without a rule, or whose rule does not have ``detail``."""
    place = call.module or "the model"
    if call.op not in RULES:
        return ConfigError(
            f"{place} cannot be lowered: there is no rule for {call.op}; there are rules for "
            f"{', '.join(sorted(RULES))}"
        )
    return ConfigError(f"{place} cannot be lowered: {call.op} {detail}".rstrip())


def apply_rules(graph: Graph) -> Draft:
    """Every call as an operation.

    Raises:
        ConfigError: names the first call that no rule takes, and its module.
    """
    draft = Draft()
    same: dict[str, str] = {}
    shapes = dict(graph.inputs)
    for name, shape in graph.inputs.items():
        draft.maps[name] = _map(shape)
    for call in graph.calls:
        if call.op not in RULES:
            raise unsupported(call)
        result = _apply(RULES[call.op], Site(call, graph, draft, same, shapes))
        shapes[call.output] = call.shape
        if isinstance(result, str):
            same[call.output] = result
            continue
        if len(call.shape) not in (2, 4):
            raise unsupported(call, f"to a tensor of shape {list(call.shape)}")
        draft.operations[call.output] = result
        draft.modules[call.output] = call.module
        draft.maps[call.output] = _map(call.shape)
        # A layer makes pixels of its own; all else keeps those of a map that was flattened.
        first = next((name for name, _ in result.reads()), call.output)
        source = draft.maps[first]
        flattened = len(call.shape) == 2 and math.prod(source) == call.shape[1]
        if flattened and not isinstance(result, Conv):
            draft.maps[call.output] = source
    draft.outputs = tuple(_output(name, same, draft, graph) for name in graph.outputs)
    draft.drop_unread()
    return draft


def _apply(rule_of_call: Rule, site: Site) -> Result:
    """What a rule gives; arguments of a kind that it did not expect are refused, too."""
    try:
        return rule_of_call(site)
    except (AssertionError, AttributeError, LookupError, TypeError, ArithmeticError) as error:
        raise site.refused(f"with such arguments ({type(error).__name__}: {error})") from error


def _output(name: str, same: Mapping[str, str], draft: Draft, graph: Graph) -> str:
    if name in graph.constants:
        raise ConfigError(f"{name} cannot be lowered: a result that does not depend on the image")
    return same.get(name, name)


def _map(shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels, *sides = shape[1:]
    height, width = sides or (1, 1)
    return channels, height, width


def _names(arguments: Mapping[str, Any]) -> list[str]:
    given = [item for value in arguments.values() for item in _items(value)]
    return [item for item in given if isinstance(item, Name)]


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def as_numbers(site: Site, constant: Tensor | float, value: str) -> tuple[float, ...]:
    """A constant that meets every pixel of a map, as a number per channel.

    Raises:
        ConfigError: it has other numbers for other pixels.
    """
    channels, *sides = site.map(value)
    if not isinstance(constant, Tensor):
        return (float(constant),) * channels
    if constant.numel() == 1:
        return (float(constant.item()),) * channels
    rank = len(site.call.shape)
    shape = (1,) * (rank - constant.dim()) + tuple(constant.shape)
    flat = rank == 2 and sides != [1, 1]
    if flat or shape != (1, channels) + (1,) * (rank - 2):
        raise site.refused(f"with a constant of shape {list(constant.shape)}")
    return tuple(constant.double().flatten().tolist())
