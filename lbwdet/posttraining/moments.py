"""Sums over positions of what a layer reads, in the float and in the quantized network."""

import dataclasses

import torch
from torch import Tensor

# Beyond this share of the input's energy, two inputs are not two versions of one: behind a
# choice of regions, for example, the two networks look at different regions.
FOREIGN = 0.5


@dataclasses.dataclass
class Moments:
    """For columns x (quantized network) and x' (float one, same positions) of G groups.

    Attributes:
        count: number of columns.
        first: sum of x, [G, d].
        first_change: sum of x' - x, [G, d].
        second: sum of x x^T, [G, d, d].
        cross: sum of (x' - x) x^T, [G, d, d].
        energy, foreign: of x' and of x' - x, summed over everything.

    All of them float64.
    """

    count: int
    first: Tensor
    first_change: Tensor
    second: Tensor
    cross: Tensor
    energy: float
    foreign: float

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            *(
                getattr(self, field.name) + getattr(other, field.name)
                for field in dataclasses.fields(self)
            )
        )

    @property
    def comparable(self) -> bool:
        """Whether the float network's inputs are the quantized one's, but for errors."""
        return self.foreign <= FOREIGN * self.energy

    def centered(self) -> "Moments":
        """The moments about the means, which a shift of the outputs makes up for."""
        mean = self.first / max(self.count, 1)
        return dataclasses.replace(
            self,
            second=self.second - self.first[..., :, None] * mean[..., None, :],
            cross=self.cross - self.first_change[..., :, None] * mean[..., None, :],
        )


def moments(x: Tensor, of_float: Tensor | None = None) -> Moments:
    """The moments of columns [G, d, P]; of the float network's, if they are of that shape."""
    change = torch.zeros_like(x)
    energy = float(x.double().square().sum())
    foreign = 0.0
    if of_float is not None:
        energy = float(of_float.double().square().sum())
        foreign = energy
        if of_float.shape == x.shape:
            change = of_float - x
            foreign = float(change.double().square().sum())
    return Moments(
        x.shape[-1],
        x.double().sum(-1),
        change.double().sum(-1),
        (x @ x.mT).double(),
        (change @ x.mT).double(),
        energy,
        foreign,
    )
