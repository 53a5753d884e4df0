"""Sums over positions of what a layer reads, in the float and in the quantized network."""

import dataclasses

import torch
from torch import Tensor

# Beyond this share of the input's energy, two inputs are not two versions of one: behind a
# choice of regions, for example, the two networks look at different regions.
_FOREIGN = 0.5


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
        return self.foreign <= _FOREIGN * self.energy

    def centered(self) -> "Moments":
        """The moments about the means, which a shift of the outputs makes up for."""
        mean = self.first / max(self.count, 1)
        return dataclasses.replace(
            self,
            second=self.second - self.first[..., :, None] * mean[..., None, :],
            cross=self.cross - self.first_change[..., :, None] * mean[..., None, :],
        )


def moments(x: Tensor, of_float: Tensor | None = None) -> Moments:
    """The moments of columns [G, d, P], and of those of the float network if there are such."""
    second = (x @ x.mT).double()
    if of_float is None or of_float.shape != x.shape:
        zero = torch.zeros_like(second)
        energy = float(x.square().sum())
        foreign = 0.0 if of_float is None else energy
        return Moments(x.shape[-1], x.sum(-1).double(), zero[..., 0], second, zero, energy, foreign)
    change = of_float - x
    return Moments(
        x.shape[-1],
        x.sum(-1).double(),
        change.sum(-1).double(),
        second,
        (change @ x.mT).double(),
        float(of_float.square().sum()),
        float(change.square().sum()),
    )
