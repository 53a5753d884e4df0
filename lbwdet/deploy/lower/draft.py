"""A part of a program in the making: operations whose values still bear the trace's names."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.embedding import Embedding

WithLayer = Conv | Embedding


@dataclass(frozen=True)
class LayerParameters:
    """Where a layer's weight is, and what its convolution does with the sums.

    Attributes:
        module: dotted name of the module.
        weight: name of the weight among the graph's constants.
        kernel: (h, w); of a linear layer, the size of the map that it covers.
        gain, bias: per output channel, float64.
        transposed: whether the weight is a transposed convolution's, [i, o, kh, kw]: the layer's
            outputs are those of every pixel of the kernel, row by row.
        sampled: whether the layer's inputs are those of every pixel of the kernel, row by row, as
            ``DeformedSamples`` gives them.
        in_two: whether the layer of a weight [o, i] has as many rows again, to be added to the
            first: what 8 bits leave of these.
        outputs: numbers of the output channels that it has of the weight's; empty: all.
        length_eps: if given, every output's gain is still to be divided by the length of its
            weight plus this number: that of the low-bit weight.
    """

    module: str
    weight: str
    kernel: tuple[int, int]
    gain: tuple[float, ...]
    bias: tuple[float, ...]
    transposed: bool = False
    sampled: bool = False
    in_two: bool = False
    outputs: tuple[int, ...] = ()
    length_eps: float | None = None

    def only(self, outputs: tuple[int, ...]) -> "LayerParameters":
        """With these of its output channels alone."""
        of_weight = self.outputs or range(len(self.gain))
        return replace(
            self,
            gain=tuple(self.gain[index] for index in outputs),
            bias=tuple(self.bias[index] for index in outputs),
            outputs=tuple(of_weight[index] for index in outputs),
        )

    def then(self, gain: tuple[float, ...], bias: tuple[float, ...]) -> "LayerParameters":
        """With another factor and offset after its own: ``(y * g + b) * gain + bias``."""
        return replace(
            self,
            gain=tuple(g * own for g, own in zip(gain, self.gain, strict=True)),
            bias=tuple(own * g + b for own, g, b in zip(self.bias, gain, bias, strict=True)),
        )


@dataclass(frozen=True)
class Part:
    """A finished part: operations in order, layers by name, the graph's outputs by new name."""

    operations: tuple[Operation, ...]
    layers: dict[str, LayerParameters]
    outputs: tuple[str, ...]


class Draft:
    """Operations in the order of execution.

    Every convolution has a layer of its own, called as the value that it writes; those that
    turn out equal become one in :meth:`finished`.

    Attributes:
        operations: by the value that they write.
        layers: parameters by ``Conv.layer``, in the order of the trace.
        modules: of each value, the module that computes it.
        maps: of each value, its channels, height and width at the size of the trace, whatever
            shape its tensor has.
        outputs: names of the values that are asked for.
    """

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}
        self.layers: dict[str, LayerParameters] = {}
        self.modules: dict[str, str] = {}
        self.maps: dict[str, tuple[int, int, int]] = {}
        self.outputs: tuple[str, ...] = ()

    def readers(self) -> Mapping[str, list[Operation | None]]:
        """Of each value, the operations that read it; None stands for outside of the part."""
        found: defaultdict[str, list[Operation | None]] = defaultdict(list)
        for operation in self.operations.values():
            for name in dict.fromkeys(name for name, _ in operation.reads()):
                found[name].append(operation)
        for name in self.outputs:
            found[name].append(None)
        return found

    def replace(self, gone: set[str], last: str, operation: Operation) -> None:
        """Puts one operation in the place of the one that writes ``last``, without those ``gone``.

        Whoever read ``last`` reads what ``operation`` writes.
        """
        operations: dict[str, Operation] = {}
        names = {last: operation.written}
        for name, other in self.operations.items():
            if name == last:
                operations[operation.written] = operation
            elif name not in gone:
                operations[name] = other.renamed(names)
        self.operations = operations
        self.outputs = tuple(names.get(name, name) for name in self.outputs)

    def drop_unread(self) -> None:
        """Removes operations whose values nobody reads."""
        needed = set(self.outputs)
        for name, operation in reversed(self.operations.items()):
            if name in needed:
                needed.update(source for source, _ in operation.reads())
        self.operations = {n: o for n, o in self.operations.items() if n in needed}

    def finished(self, inputs: Mapping[str, str]) -> Part:
        """With names for people: values are called as the layer that makes them.

        A number follows where a layer makes several values, or has several norms; other values
        are called as the module and the call.

        Args:
            inputs: new names of the graph's inputs.
        """
        used = [
            operation.layer
            for operation in self.operations.values()
            if isinstance(operation, WithLayer)
        ]
        used.sort(key=list(self.layers).index)
        values, layers = self._layer_names(used)
        for name in self.operations:
            values.setdefault(name, f"{self.modules[name]}:{name}".removeprefix(":"))
        values.update(inputs)
        operations = []
        for operation in self.operations.values():
            if isinstance(operation, WithLayer):
                operation = replace(operation, layer=layers[operation.layer])
            operations.append(operation.renamed(values))
        named = {
            layers[operation.layer]: self.layers[operation.layer]
            for operation in self.operations.values()
            if isinstance(operation, WithLayer)
        }
        return Part(tuple(operations), named, tuple(values[name] for name in self.outputs))

    def _layer_names(self, used: list[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Names of the values that layers make, and of the layers."""
        modules = {key: self.layers[key].module or key for key in used}
        uses = Counter(modules.values())
        variants: defaultdict[str, list[LayerParameters]] = defaultdict(list)
        for key in used:
            if self.layers[key] not in variants[modules[key]]:
                variants[modules[key]].append(self.layers[key])
        values, layers, seen = {}, {}, Counter[str]()
        for key, module in modules.items():
            values[key] = module if uses[module] == 1 else f"{module}:{seen[module]}"
            seen[module] += 1
            index = variants[module].index(self.layers[key])
            layers[key] = module if len(variants[module]) == 1 else f"{module}:{index}"
        return values, layers
