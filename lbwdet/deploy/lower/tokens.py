"""Tokens are maps: a tensor [n, pixels, channels] is a map [n, channels, height, width] seen anew.

Engines keep a map's channels last, so that no number moves. What views and permutations do is known
from the sizes alone; every call on tokens becomes the same call on the map that they are.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from lbwdet.deploy.lower.idioms import needed
from lbwdet.deploy.lower.rule import unsupported
from lbwdet.deploy.lower.trace import Call, Graph, Name
from lbwdet.errors import ConfigError

VIEWS = ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze")
SAME = ("clone", "alias", "detach", "contiguous", "dropout", "_to_copy", "to", "type_as", "expand")
UNARY = ("relu", "gelu", "silu", "sigmoid", "tanh", "hardswish", "leaky_relu", "clamp")
BINARY = ("add", "sub", "mul", "div")
ALONG_CHANNELS = ("split", "chunk", "split_with_sizes", "slice", "index_select")
MAP = ("n", "c", "h", "w")

Axes = tuple[tuple[str, ...], ...]


class Tokens(NamedTuple):
    """How a tensor shows a map.

    Attributes:
        map: name of the value.
        axes: of each of the tensor's axes, the map's axes that it runs through, outermost first;
            those of one pixel are left out.
    """

    map: Name
    axes: Axes


def tokens_as_maps(graph: Graph) -> Graph:
    """The graph with maps in the place of tokens.

    Raises:
        ConfigError: a call on tokens that is none on a map.
    """
    reader = _Reader(graph)
    calls = [made for call in graph.calls for made in reader.read(call)]
    constants = dict(graph.constants) | reader.constants
    outputs = tuple(reader.output(name) for name in graph.outputs)
    return dataclasses.replace(
        graph, calls=needed(calls, outputs), constants=constants, outputs=outputs
    )


class _Reader:
    def __init__(self, graph: Graph) -> None:
        self._given = graph.constants
        self._tokens: dict[str, Tokens] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._sizes: dict[str, Mapping[str, int]] = {}  # of maps
        self.constants: dict[str, Any] = {}
        for name, shape in graph.inputs.items():
            self._is_map(Name(name), shape)

    def output(self, name: str) -> str:
        """A result of the graph; of tokens, the map."""
        if name not in self._tokens:
            return name
        tokens = self._tokens[name]
        order = [axis for axes in tokens.axes for axis in axes]
        if not self._is_plain(name) and order != sorted(order, key="nhwc".index):
            raise ConfigError(
                f"{name} cannot be lowered: a result of shape {list(self._shapes[name])} is "
                "neither a map nor tokens with their channels last"
            )
        return tokens.map

    def read(self, call: Call) -> list[Call]:
        """What stands in the call's place."""
        found = [name for name in _names(call) if name in self._tokens]
        if not found or call.op == "embedding":  # which reads nothing of an image
            self._is_map(Name(call.output), call.shape)
            return [call]
        if call.op in (*VIEWS, "permute", "transpose", "t"):
            return self._view(call)
        if call.op in SAME and not self._is_plain(found[0]) and not call.arguments.get("train"):
            return self._view(call)
        if call.op == "im2col" and self._is_plain(found[0]):
            return self._unfolded(call, found[0])
        if all(self._is_plain(name) for name in found):
            self._is_map(Name(call.output), call.shape)
            return [call]
        return self._on_map(call)

    def _view(self, call: Call) -> list[Call]:
        source = call.arguments["self" if "self" in call.arguments else "input"]
        tokens = self._tokens[source]
        axes = self._turned(call, tokens)
        if axes is None:
            if self._is_plain(source):  # the rules know some more
                self._is_map(Name(call.output), call.shape)
                return [call]
            raise self._refused(call, source)
        if self._is_plain(source) and len(call.shape) not in (3, 4):
            return [call]  # flattened, or parts of channels
        self._shapes[call.output] = call.shape
        self._tokens[call.output] = Tokens(tokens.map, axes)
        return [_changed(call, "alias", {"self": tokens.map}, self._map_shape(tokens.map))]

    def _unfolded(self, call: Call, source: str) -> list[Call]:
        """Windows as tokens, channels first: a map of fewer pixels."""
        factor = call.arguments["kernel_size"][0]
        plain = dict(kernel_size=[factor] * 2, stride=[factor] * 2, padding=[0, 0], dilation=[1, 1])
        if any(list(call.arguments[key]) != value for key, value in plain.items()):
            raise self._refused(call, source)
        n, channels, height, width = self._shapes[source]
        shape = (n, channels * factor**2, height // factor, width // factor)
        made = _changed(call, "space_to_depth", {"self": source, "factor": factor}, shape)
        self._is_map(Name(call.output), shape)
        n_axis, c_axis, *pixels = self._plain(call.output)
        axes = (n_axis, c_axis, tuple(axis for each in pixels for axis in each))
        self._shapes[call.output] = call.shape
        self._tokens[call.output] = Tokens(Name(call.output), axes)
        return [made]

    def _turned(self, call: Call, tokens: Tokens) -> Axes | None:
        """The axes after a view or a permutation; None if the map's own are torn apart."""
        axes, rank = tokens.axes, len(tokens.axes)
        if call.op == "permute":
            return tuple(axes[dim % rank] for dim in call.arguments["dims"])
        if call.op in ("transpose", "t"):
            first, second = (call.arguments.get(f"dim{i}", i) % rank for i in (0, 1))
            order = list(range(rank))
            order[first], order[second] = second, first
            return tuple(axes[index] for index in order)
        sizes, left = self._sizes[tokens.map], [name for axis in axes for name in axis]
        if math.prod(call.shape) != math.prod(sizes.values()):
            return None  # expanded
        found = []
        for size in call.shape:
            taken, product = [], 1
            while product < size and left:
                product *= sizes[left[0]]
                taken.append(left.pop(0))
            if product != size:
                return None
            found.append(tuple(taken))
        return tuple(found)

    def _on_map(self, call: Call) -> list[Call]:
        """A call with tokens among its arguments, on maps."""
        arguments, given = dict(call.arguments), call.arguments
        others = (name for name in _names(call) if name in self._tokens)
        source = given["query"] if "query" in given else next(others)
        axes = self._tokens[source].axes
        last = axes[-1] in (("c",), ()) and "c" not in {n for axis in axes[:-1] for n in axis}
        if call.op == "linear" and axes == self._pixels_first(source):
            # All pixels at once, each with its channels together: no token is left.
            arguments.update(input=self._tokens[source].map, channels_last=True)
            self._shapes[call.output] = call.shape
            return [_changed(call, "linear", arguments, call.shape)]
        if call.op in ("linear", "layer_norm") and last:
            arguments.update(input=self._tokens[source].map, per_pixel=True)
            if len(given.get("normalized_shape", [1])) != 1:
                raise self._refused(call, source)
        elif call.op in UNARY:
            arguments["self"] = self._tokens[source].map
        elif call.op in BINARY:
            for key in ("self", "other"):
                arguments[key] = self._operand(call, given[key], axes, last)
        elif call.op in ALONG_CHANNELS and given["dim"] % len(axes) == len(axes) - 1 and last:
            arguments.update(self=self._tokens[source].map, dim=1)
        elif call.op in ("attention", "window_attention"):
            for key in ("query", "key", "value"):
                arguments[key] = self._sequence(call, given[key])
        else:
            raise self._refused(call, source)
        n, _, height, width = self._map_shape(self._tokens[source].map)
        channels = call.shape[-1] if last else self._sizes[self._tokens[source].map]["c"]
        made = _changed(call, call.op, arguments, (n, channels, height, width))
        self._sizes[call.output] = dict(zip(MAP, made.shape, strict=True))
        self._shapes[call.output] = call.shape
        if channels > 1:
            axes = (*axes[:-1], ("c",)) if last else axes
        elif last:
            axes = (*axes[:-1], ())
        self._tokens[call.output] = Tokens(Name(call.output), axes)
        return [made]

    def _operand(self, call: Call, given: Any, axes: Axes, last: bool) -> Any:
        """What is added to tokens, or multiplied with them: tokens alike, or a constant."""
        if not isinstance(given, Name):
            return given
        if given in self._tokens:
            if self._tokens[given].axes != axes:
                raise self._refused(call, given)
            return self._tokens[given].map
        constant = self._given.get(given)
        if not isinstance(constant, Tensor) or constant.numel() == 1:
            return given
        if not last or constant.numel() != constant.shape[-1]:
            raise unsupported(call, f"with a constant of shape {list(constant.shape)}")
        name = Name(f"{given}@channels")
        self.constants[name] = constant.reshape(1, -1, 1, 1)
        return name

    def _sequence(self, call: Call, name: Name) -> Name:
        """The map of tokens [n, pixels, channels], in their order."""
        tokens = self._tokens[name]
        plain = self._plain(tokens.map)
        if tokens.axes != (plain[0], (*plain[2], *plain[3]), plain[1]):
            raise self._refused(call, name)
        return tokens.map

    def _is_map(self, name: Name, shape: tuple[int, ...]) -> None:
        self._shapes[name] = shape
        if len(shape) != 4:
            return
        self._sizes[name] = dict(zip(MAP, shape, strict=True))
        self._tokens[name] = Tokens(name, self._plain(name))

    def _plain(self, name: str) -> Axes:
        """The axes of a map as it is."""
        return tuple((axis,) if self._sizes[name][axis] > 1 else () for axis in MAP)

    def _is_plain(self, name: str) -> bool:
        return self._tokens[name].axes == self._plain(self._tokens[name].map)

    def _pixels_first(self, name: str) -> Axes:
        """The axes of tokens [n, pixels, channels] after ``flatten(1)``."""
        n, c, *pixels = self._plain(self._tokens[name].map)
        return n, (*(axis for each in pixels for axis in each), *c)

    def _map_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._sizes[name][axis] for axis in MAP)

    def _refused(self, call: Call, source: str) -> ConfigError:
        return unsupported(call, f"from {list(self._shapes[source])} to {list(call.shape)}")


def _changed(call: Call, op: str, arguments: dict[str, Any], shape: tuple[int, ...]) -> Call:
    return Call(op, call.output, arguments, call.module, shape)


def _names(call: Call) -> list[Name]:
    """The tensors among a call's arguments."""
    found: list[Name] = []
    for value in call.arguments.values():
        items: Sequence[Any] = value if isinstance(value, list | tuple) else (value,)
        found += [item for item in items if isinstance(item, Name)]
    return found
