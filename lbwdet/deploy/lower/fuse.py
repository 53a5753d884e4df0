"""From single tensor operations to convolutions with everything that follows them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lbwdet.deploy.lower.trace import Call, Graph
from lbwdet.deploy.runtime.operations import Conv, MaxPool
from lbwdet.errors import ConfigError

SUPPORTED = (
    "convolution or linear layer, then if wanted batch norm, addition of another value or of "
    "one upsampled to its size by nearest neighbour, and ReLU, in this order; max pooling"
)
_CONVOLUTIONS = {"conv2d", "convolution", "linear"}
_NORMS = {"batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"}
# A chain grows while the rank does.
_RANK = {**dict.fromkeys(_CONVOLUTIONS, 0), **dict.fromkeys(_NORMS, 1), "add": 2, "relu": 3}
_SAME_VALUE = {"dropout", "alias", "detach", "contiguous", "clone", "flatten", "view", "reshape"}
_KNOWN = {*_RANK, *_SAME_VALUE, "max_pool2d", "upsample_nearest2d"}


@dataclass(frozen=True)
class LayerParameters:
    """Where a convolution's numbers are: dotted names of parameters and buffers, or None.

    ``kernel`` is (h, w); of a linear layer, the size of the map that it covers.
    """

    weight: str
    bias: str | None
    kernel: tuple[int, int]
    norm: tuple[str | None, str | None, str, str] | None = None  # gamma, beta, mean, variance
    eps: float = 0.0


@dataclass(frozen=True)
class Fused:
    """Operations in order, the parameters of each layer, and the graph's outputs by new name."""

    operations: tuple[Conv | MaxPool, ...]
    layers: dict[str, LayerParameters]
    outputs: tuple[str, ...]


def fuse(graph: Graph, inputs: Mapping[str, str]) -> Fused:
    """Gathers every operation of a graph into :class:`Conv` and :class:`MaxPool`.

    Of two convolutions that are added, the first takes the other as its residual. An
    operation stands where its last part stood, so that its residual was computed before.

    Args:
        graph: of :func:`trace`.
        inputs: new names of the graph's inputs.

    Raises:
        ConfigError: names the first operation that fits nowhere, and its module.
    """
    return _Fusion(graph, inputs).run()


class _Fusion:
    def __init__(self, graph: Graph, inputs: Mapping[str, str]) -> None:
        self.graph = graph
        self.names = dict(inputs)  # of values in the program
        self.source: dict[str, str] = {}  # a value that is another one, in another shape
        self.shapes = dict(graph.inputs) | {call.output: call.shape for call in graph.calls}
        self.layers: dict[str, LayerParameters] = {}
        for call in graph.calls:
            if call.op not in _KNOWN:
                raise _unsupported(call)
            if call.op in _SAME_VALUE:
                self._check_same(call)
                self.source[call.output] = _operand(call)
        self.upsampled = {
            call.output: self._root(_operand(call))
            for call in graph.calls
            if call.op == "upsample_nearest2d"
        }
        self.users: dict[str, list[Call | None]] = {
            self._root(output): [None] for output in graph.outputs
        }
        for call in graph.calls:
            if call.op not in _SAME_VALUE:
                for value in _tensors(call):
                    self.users.setdefault(self._root(value), []).append(call)

    def run(self) -> Fused:
        chains = self._chains()
        inside = {call.output: chain for chain in chains for call in chain}
        last = {chain[-1].output: chain for chain in chains}
        self._name(chains)
        operations: list[Conv | MaxPool] = []
        for call in self.graph.calls:
            if call.op == "max_pool2d":
                operations.append(self._max_pool(call))
            elif call.output in last:
                operations.append(self._conv(last[call.output]))
            elif call.output in inside or call.op in _SAME_VALUE:
                continue
            elif not self._is_residual(call, inside):
                raise _unsupported(call)
        outputs = tuple(self._named(value) for value in self.graph.outputs)
        return Fused(tuple(operations), self.layers, outputs)

    def _chains(self) -> list[list[Call]]:
        chains: list[list[Call]] = []
        taken: set[str] = set()
        for call in self.graph.calls:
            if call.op not in _CONVOLUTIONS:
                continue
            chain = [call]
            while (following := self._only_user(chain[-1])) and following.output not in taken:
                if _RANK.get(following.op, -1) <= _RANK[chain[-1].op]:
                    break
                if following.op == "add" and not self._is_plain_addition(following, chain[-1]):
                    break
                chain.append(following)
            taken.update(part.output for part in chain)
            chains.append(chain)
        return chains

    def _only_user(self, call: Call) -> Call | None:
        users = self.users.get(call.output, [])
        return users[0] if len(users) == 1 else None

    def _is_plain_addition(self, addition: Call, host: Call) -> bool:
        shapes = {self.shapes.get(value) for value in _tensors(addition)}
        return (
            addition.arguments["alpha"] == 1
            and len(set(_tensors(addition))) == 2
            and shapes == {addition.shape}
            and host.output in _tensors(addition)
        )

    def _is_residual(self, call: Call, inside: Mapping[str, list[Call]]) -> bool:
        """Whether an upsampling is only ever added to a convolution's result."""
        users = self.users.get(call.output, [None])
        return call.output in self.upsampled and all(
            user is not None and user.op == "add" and user.output in inside for user in users
        )

    def _name(self, chains: list[list[Call]]) -> None:
        """Values are called as the layer that makes them; with a number where it makes several."""
        uses = Counter(_layer(chain[0]) for chain in chains)
        seen: Counter[str] = Counter()
        for chain in chains:
            layer = _layer(chain[0])
            name = layer if uses[layer] == 1 else f"{layer}:{seen[layer]}"
            seen[layer] += 1
            self.names[chain[-1].output] = name
        for call in self.graph.calls:
            if call.op == "max_pool2d":
                self.names[call.output] = f"{call.module}:{call.output}"

    def _conv(self, chain: list[Call]) -> Conv:
        conv = chain[0]
        kernel, settings = self._geometry(conv)
        following = {"norm" if call.op in _NORMS else call.op: call for call in chain[1:]}
        layer = _layer(conv)
        parameters = _parameters(conv, kernel, following.get("norm"))
        if self.layers.setdefault(layer, parameters) != parameters:
            raise ConfigError(
                f"{layer} cannot be lowered: it is used several times with different batch "
                "norms or on maps of different size"
            )
        residual, upsample = None, False
        if "add" in following:
            own = {call.output for call in chain}
            (other,) = (value for value in _tensors(following["add"]) if value not in own)
            upsample = other in self.upsampled
            residual = self._named(self.upsampled.get(other, other))
        return Conv(
            layer=layer,
            input=self._named(_operand(conv)),
            output=self._named(chain[-1].output),
            kernel=kernel,
            relu="relu" in following,
            residual=residual,
            upsample=upsample,
            **settings,
        )

    def _geometry(self, conv: Call) -> tuple[tuple[int, int], dict[str, tuple[int, int]]]:
        if conv.op == "linear":
            before = self.shapes[self._root(_operand(conv))]
            if len(conv.shape) != 2 or len(before) not in (2, 4):
                raise _unsupported(conv, f"on a tensor of shape {list(before)}")
            return (before[2], before[3]) if len(before) == 4 else (1, 1), {}
        arguments = conv.arguments
        if arguments["groups"] != 1 or arguments.get("transposed"):
            kind = "transposed" if arguments.get("transposed") else f"groups={arguments['groups']}"
            raise _unsupported(conv, f"({kind})")
        if isinstance(arguments["padding"], str):
            raise _unsupported(conv, f"(padding={arguments['padding']!r})")
        names = ("stride", "padding", "dilation")
        kernel = self.graph.parameters[arguments["weight"]][2:]
        return _pair(kernel), {name: _pair(arguments[name]) for name in names}

    def _max_pool(self, call: Call) -> MaxPool:
        arguments = call.arguments
        if arguments["ceil_mode"] or _pair(arguments["dilation"]) != (1, 1):
            raise _unsupported(call, "with ceil_mode or dilation")
        kernel = _pair(arguments["kernel_size"])
        return MaxPool(
            input=self._named(_operand(call)),
            output=self.names[call.output],
            kernel=kernel,
            stride=_pair(arguments["stride"]) if arguments["stride"] else kernel,
            padding=_pair(arguments["padding"]),
        )

    def _check_same(self, call: Call) -> None:
        """Dropout is off; a reshape keeps the first axis and makes one of all others."""
        before = self.shapes[_operand(call)]
        flat = len(call.shape) == 2 and len(before) in (2, 4) and call.shape[0] == before[0]
        if call.arguments.get("train") or not (call.shape == before or flat):
            raise _unsupported(call, f"from {list(before)} to {list(call.shape)}")

    def _root(self, value: str) -> str:
        while value in self.source:
            value = self.source[value]
        return value

    def _named(self, value: str) -> str:
        return self.names[self._root(value)]


def _operand(call: Call) -> str:
    return str(call.arguments["input" if "input" in call.arguments else "self"])


def _tensors(call: Call) -> list[str]:
    """The values that a call reads; parameters are none."""
    names = ("input", "self", "other")
    found = [call.arguments[name] for name in names if name in call.arguments]
    return [value for value in found if isinstance(value, str)]


def _layer(conv: Call) -> str:
    return str(conv.arguments["weight"]).rpartition(".")[0]


def _parameters(conv: Call, kernel: tuple[int, int], norm: Call | None) -> LayerParameters:
    weight, bias = conv.arguments["weight"], conv.arguments["bias"]
    if norm is None:
        return LayerParameters(weight, bias, kernel)
    arguments: dict[str, Any] = norm.arguments
    if arguments.get("training"):
        raise _unsupported(norm, "in training mode; lower a model after eval()")
    names = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (arguments[name] for name in names)
    return LayerParameters(
        weight, bias, kernel, (gamma, beta, mean, variance), float(arguments["eps"])
    )


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if len(value) == 2 else (value[0], value[0])
    return int(first), int(second)


def _unsupported(call: Call, detail: str = "") -> ConfigError:
    what = " ".join(part for part in (call.op, detail) if part)
    return ConfigError(
        f"{call.module or 'the model'} cannot be lowered: {what} is not supported there. "
        f"Supported are: {SUPPORTED}"
    )
