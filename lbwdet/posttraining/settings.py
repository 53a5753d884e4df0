"""What is asked of a post-training, and what it tells."""

import dataclasses

from lbwdet.posttraining.refine import Refinement
from lbwdet.posttraining.search import Search


@dataclasses.dataclass(frozen=True)
class PostTraining:
    """What is done; each ingredient can be switched off.

    Attributes:
        positions: columns of a layer that are looked at, of all inputs together.
        damping: added to the diagonal of the moments, as a share of its mean.
        search: how levels are chosen.
        compensate: aim at the float network's outputs, so that later layers make up for
            the errors of earlier ones; otherwise at those of the float weights.
        norms: fit batch norms and biases to what the low-bit layers give.
        real_scales: where batch norms alone read a layer, choose real top levels for its
            channels, and leave the factors to the norms.
        refinement: by gradient, at the end; None: none.
        waiting_bytes: of all passes that wait, and of what layers need that go by blocks; of more
            inputs, as many as fit are taken evenly.
    """

    positions: int = 30_000
    damping: float = 0.01
    search: Search = dataclasses.field(default_factory=Search)
    compensate: bool = True
    norms: bool = True
    real_scales: bool = True
    refinement: Refinement | None = None
    waiting_bytes: int = 1_400_000_000


@dataclasses.dataclass(frozen=True)
class LayerResult:
    """What became of a layer.

    Attributes:
        name: dotted.
        before: relative squared error of its outputs with the nearest levels.
        after: with the levels chosen; both None for a layer that no input reached, or that
            is no matrix, and whose levels stay the nearest ones.
        zeros: share of its weights.
        levels: number of different levels in use.
    """

    name: str
    before: float | None
    after: float | None
    zeros: float
    levels: int


@dataclasses.dataclass(frozen=True)
class Result:
    """Attributes: ``layers`` in the order of their calls, and ``inputs``, how many were used."""

    layers: list[LayerResult]
    inputs: int
