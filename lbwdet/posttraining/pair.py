"""A float network and its low-bit twin on the same inputs, module by module."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from lbwdet.posttraining.attention import OUT, attention_matrices
from lbwdet.posttraining.columns import Matrix, matrix_of
from lbwdet.posttraining.plan import make_plan
from lbwdet.posttraining.walk import Walk, calls_of

Forward = Callable[[nn.Module, Any], object]
Call = tuple[Any, ...]  # the arguments of one
Calls = tuple[Call, Call]  # in the float and in the low-bit network


class Pair:
    """Both networks, and what one pass of the float one shows of their layers.

    Args:
        model: the low-bit network.
        floating: the float one, with modules of the same names.
        layers: of ``model``, by name: those to look at.
        inputs: of single passes.
        forward: runs a network on one of them.
        waiting_bytes: of all passes that wait.

    Attributes:
        inputs: as many as may wait, taken evenly.
        plan: of a pass.
        parts: the layers that compute in a call of each module. Attention is two.
        matrices: of each layer that is one: in the float network and in the low-bit one.
    """

    def __init__(
        self,
        model: nn.Module,
        floating: nn.Module,
        layers: Mapping[str, nn.Module],
        inputs: list[Any],
        forward: Forward,
        waiting_bytes: int,
    ) -> None:
        self.model, self.floating, self.forward = model, floating, forward
        self.parts: dict[str, list[str]] = {name: [name] for name in layers}
        self.matrices: dict[str, tuple[Matrix, Matrix]] = {}
        twins = {name: floating.get_submodule(name) for name in layers}
        self.plan = make_plan(floating, twins, self.run(floating, inputs[0]), self._look)
        most = max(1, waiting_bytes // max(1, 2 * self.plan.live_bytes))
        number = min(most, len(inputs))
        self.inputs = [inputs[index * len(inputs) // number] for index in range(number)]

    def _look(self, name: str, args: Call, output: Any) -> None:
        layer: Any = self.floating.get_submodule(name)
        found: list[Matrix | None] = [None]
        if isinstance(layer, nn.MultiheadAttention):
            if (both := attention_matrices(layer, args, output)) is not None:
                self.parts[name] = [name, f"{name}.{OUT}"]
                found = list(both)
        else:
            found = [matrix_of(layer, args, output)]
        own = self.model.get_submodule(name)
        for part, matrix in zip(self.parts[name], found, strict=True):
            if matrix is not None:
                self.matrices[part] = matrix, type(matrix)(own)

    def run(self, model: nn.Module, x: Any) -> Callable[[], object]:
        return lambda: self.forward(model, x)

    def walk(self) -> Iterator[tuple[str, list[Calls]]]:
        """Each module that a pass meets, and its first calls, before anything behind them runs."""
        models, number = (self.floating, self.model), len(self.inputs)
        passes = [self.run(model, x) for model in models for x in self.inputs]
        with Walk(models, list(self.plan.uses), passes) as walk:
            for name in walk:
                both = zip(walk.runs[:number], walk.runs[number:], strict=True)
                yield (
                    name,
                    [(a.arguments, b.arguments) for a, b in both if a.at == b.at == name],
                )

    def each_use(self, name: str, first: list[Calls]) -> Iterator[Calls]:
        """Every call of a module; ``first`` is what :meth:`walk` gave."""
        uses = self.plan.uses[name]
        if uses == 1:
            yield from first
            return
        for x in self.inputs:  # later calls come after others of the same pass: anew
            calls = (
                calls_of(model.get_submodule(name), uses, self.run(model, x))
                for model in (self.floating, self.model)
            )
            yield from zip(*calls, strict=False)
