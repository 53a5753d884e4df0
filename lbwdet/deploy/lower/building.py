"""A program put together from traced parts and from operations that heads add."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from lbwdet.deploy.lower.activations import trained_activations
from lbwdet.deploy.lower.draft import Part
from lbwdet.deploy.lower.fusions import Fusion, fuse
from lbwdet.deploy.lower.idioms import find_idioms
from lbwdet.deploy.lower.rule import apply_rules
from lbwdet.deploy.lower.rules import RULES  # noqa: F401  (registers them)
from lbwdet.deploy.lower.tokens import tokens_as_maps
from lbwdet.deploy.lower.trace import trace
from lbwdet.deploy.lower.weights import float_weights, store_weights
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import Array, StoredWeight


def _in_steps(operation: Operation, activations: Mapping[str, Quantization]) -> Operation:
    """A convolution whose weight has taken on the steps of its input's channels."""
    if not isinstance(operation, Conv) or operation.layer not in activations:
        return operation
    return replace(operation, input_exponents=activations[operation.layer].exponents)


def _before_sampling(
    part: Part, activations: Mapping[str, Quantization]
) -> dict[str, Quantization]:
    """What training rounded, by layer; by the samples where it was the map that they are from."""
    convs = [operation for operation in part.operations if isinstance(operation, Conv)]
    found = {layer: each for layer, each in activations.items() if not part.layers[layer].sampled}
    return found | {
        conv.input: activations[conv.layer]
        for conv in convs
        if part.layers[conv.layer].sampled and conv.layer in activations
    }


class Building:
    """A program in the making.

    Args:
        model: MMDetection's detector in eval mode.
        fusions: to apply to what is traced.

    Attributes:
        operations: so far.
        weights: by layer.
        floats: what training has in the place of those weights that it does not quantize.
        activations: quantizations of the inputs of layers that training has found, by layer; of
            maps that a layer samples, by what it reads, the samples.
    """

    def __init__(self, model: Any, fusions: Sequence[Fusion]) -> None:
        self._model = model
        self._fusions = fusions
        self.operations: list[Operation] = []
        self.weights: dict[str, StoredWeight] = {}
        self.floats: dict[str, Array] = {}
        self.activations: dict[str, Quantization] = {}

    def add(self, *operations: Operation) -> None:
        """Operations after all others."""
        self.operations.extend(operations)

    def rename(self, value: str, name: str) -> None:
        """Calls a value otherwise, wherever it is written and read."""
        self.operations = [operation.renamed({value: name}) for operation in self.operations]

    def trace(
        self,
        compute: Callable[..., Any],
        sample: Tensor | Sequence[Tensor],
        source: str | Sequence[str],
    ) -> tuple[str, ...]:
        """The operations of ``compute(model, sample)``, or of several samples.

        Args:
            compute: a part of the model.
            sample: an input for it, of any size that it can have.
            source: name of the value that stands in the sample's place.

        Returns:
            Names of the values that ``compute`` returns.

        Raises:
            ConfigError: names the module and the call that cannot be lowered.
        """
        samples = (sample,) if isinstance(sample, Tensor) else tuple(sample)
        sources = (source,) if isinstance(source, str) else tuple(source)
        graph = tokens_as_maps(find_idioms(trace(self._model, compute, *samples)))
        draft = apply_rules(graph)
        fuse(draft, self._fusions)
        named = dict(zip(graph.inputs, sources, strict=True))
        part = self._apart(draft.finished(named), sources[0])
        self.weights |= store_weights(self._model, part.layers, graph)
        self.floats |= float_weights(self._model, part.layers, graph)
        activations = trained_activations(self._model, part.layers)
        self.activations |= _before_sampling(part, activations)
        self.operations.extend(_in_steps(each, activations) for each in part.operations)
        return part.outputs

    def _apart(self, part: Part, source: str) -> Part:
        """With other names for values of modules that were traced before, with another input."""
        taken = {operation.written for operation in self.operations}
        names = {
            operation.written: f"{operation.written}@{source}"
            for operation in part.operations
            if operation.written in taken
        }
        operations = tuple(operation.renamed(names) for operation in part.operations)
        return replace(
            part,
            operations=operations,
            outputs=tuple(names.get(name, name) for name in part.outputs),
        )
