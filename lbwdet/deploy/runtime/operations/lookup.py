from dataclasses import replace
from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.functions import FUNCTIONS
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.quantization import Quantization, rounded
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes
from lbwdet.errors import shown


@dataclass(frozen=True)
class Lookup(Operation):
    """An element-wise function of a uint8 map: one table of 256 entries.

    ``function`` is one of :data:`~lbwdet.deploy.runtime.arithmetic.functions.FUNCTIONS`, with
    its parameters. A number q of the input stands for all reals that were rounded to it; the
    output is the integer of what the function makes of their middle; zero stays zero::

        middle   = q - zp_x             if the input is rounded to nearest, or q = zp_x
                   q - zp_x - 0.5       if it is rounded up
        table[q] = clamp(round(function(middle * s_x) / s_y) + zp_y, 0, maximum)
        y        = table[x]

    in float64; ``round`` and ``maximum`` are those of the output's quantization. With
    ``'identity'`` the map is *requantized*: the integers that one of its readers was trained with.
    """

    input: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8)]
    function: str = "identity"
    parameters: Annotated[tuple[float, ...], Range(-1e6, 1e6), Length(0, 4)] = ()

    def infer(self, shapes: Shapes) -> Map:
        shapes.expect(
            self.function in FUNCTIONS,
            f"the function {shown(self.function)} is not known; there are {', '.join(FUNCTIONS)}",
        )
        wanted = FUNCTIONS[self.function].parameters
        shapes.expect(
            len(self.parameters) == len(wanted),
            f"{self.function} takes {len(wanted)} parameters; given are {list(self.parameters)}",
        )
        return replace(shapes.map(self.input), quantization=None)

    def compute(self, run: Run) -> Array:
        if self.input in run.quantizations:
            source = run.quantizations[self.input]
            return self.table(source, run.quantizations.get(self.output))[run.values[self.input]]
        return self._stored(run.values[self.input], run.quantizations.get(self.output))

    def constants(self, context: Context) -> dict[str, Constant]:
        quantizations = context.quantizations
        return {"table": self.table(quantizations[self.input], quantizations[self.output])}

    def table(self, source: Quantization, target: Quantization | None) -> Array:
        """[256]: what each integer of the source becomes: uint8, or float32 if in reals.

        If both are rounded up and the target's step is a whole multiple of the source's, rounding
        twice is rounding once, since ``ceil(ceil(x) / k) = ceil(x / k)``. To the nearest the same
        holds for odd multiples, up to ties. Other steps send about one real in
        ``target.scale / source.scale`` to a neighbour of its integer, half of the time.

        >>> eight, four = Quantization(0.25, 0, 255, "ceil"), Quantization(1.0, 0, 15, "ceil")
        >>> Lookup("x", "y").table(eight, four)[[0, 1, 4, 5, 60, 61, 255]].tolist()
        [0, 1, 1, 2, 15, 15, 15]
        """
        steps = np.arange(256) - np.float64(source.zero_point)
        if source.rounding == "ceil":
            steps[steps != 0] -= 0.5
        return self._stored(steps * source.scale, target)

    def _stored(self, reals: Array, target: Quantization | None) -> Array:
        result = FUNCTIONS[self.function].of(reals.astype(np.float64), *self.parameters)
        if target is None:
            return np.asarray(result.astype(np.float32))
        return rounded(np.asarray(result / target.scale), target)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        name = str(random.choice(list(FUNCTIONS)))
        parameters = tuple(sorted(random.uniform(-2, 2, len(FUNCTIONS[name].parameters)).tolist()))
        x = random_cases.feature_map(random)
        quantizations = {
            "x": random_cases.quantization_of(random, x),
            "y": random_cases.output_quantization(random),
        }
        return Example(cls("x", "y", name, parameters), {"x": x}, quantizations)


def requantize(source: str, target: str) -> Lookup:
    """The values of ``source`` in the integers of ``target``."""
    return Lookup(source, target)
