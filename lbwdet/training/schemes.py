"""How training moves the float master weights W towards their projection Q(W).

All three schemes take the gradient g at quantized weights and let the optimizer step
on W; none changes what is evaluated or deployed, which is always Q(W).

``projection``
    Forward and backward at Q(W).
``bcgd``
    Blended coarse gradient descent (arXiv 1808.05240): W <- (1 - rho) W + rho Q(W),
    then the optimizer's step with g. The blend is no part of momentum.
``binary_relax``
    BinaryRelax (arXiv 1801.06313): forward and backward at
    (W + lambda Q(W)) / (1 + lambda) with a growing lambda, then, in the second phase, at Q(W).
"""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from lbwdet.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Projection:
    """``type='projection'``: nothing beside the quantized layers themselves."""

    type = "projection"
    rho = 0.0

    def relax(self, iteration: int, epoch_length: int, max_iters: int) -> float:
        """The lambda of an iteration; infinity stands for Q(W) itself.

        A function of the iteration alone: a resumed training goes on exactly.

        Args:
            iteration: iterations done before this one.
            epoch_length: iterations of an epoch.
            max_iters: iterations of the whole training.
        """
        return math.inf


@dataclasses.dataclass(frozen=True)
class BCGD(Projection):
    """``type='bcgd'``.

    Attributes:
        rho: share of Q(W) that each step of the optimizer blends in, 0 to 1; 0 is the
            projection scheme.
    """

    type = "bcgd"
    rho: float = 1e-5

    def __post_init__(self) -> None:
        _check(self, "rho", 0, 1)


@dataclasses.dataclass(frozen=True)
class BinaryRelax(Projection):
    """``type='binary_relax'``: lambda = lambda0 * growth ** floor(epochs done / interval).

    lambda should reach hundreds by the second phase, so that the switch to Q(W) is a
    small step. The defaults do so in a training of a few hundred epochs; a shorter one
    needs a larger ``growth`` or a smaller ``interval``.

    Attributes:
        lambda0: lambda of the first iteration.
        growth: its factor per interval.
        interval: in epochs.
        phase_2: share of the training after which Q(W) is used.
    """

    type = "binary_relax"
    lambda0: float = 1.0
    growth: float = 1.02
    interval: float = 0.5
    phase_2: float = 0.75

    def __post_init__(self) -> None:
        _check(self, "lambda0", 0)
        _check(self, "growth", 1)
        _check(self, "interval", 1e-6)
        _check(self, "phase_2", 0, 1)

    def relax(self, iteration: int, epoch_length: int, max_iters: int) -> float:
        if iteration >= self.phase_2 * max_iters:
            return math.inf
        steps = math.floor(iteration / (self.interval * epoch_length))
        try:
            return self.lambda0 * self.growth**steps
        except OverflowError:
            return math.inf


SCHEMES: dict[str, type[Projection]] = {
    scheme.type: scheme for scheme in (Projection, BCGD, BinaryRelax)
}


def build_scheme(type: str = "projection", **settings: Any) -> Projection:
    """The scheme that a config asks for.

    Raises:
        ConfigError: an unknown type or setting, or a value out of range.

    >>> build_scheme("bcgd", rho=1e-4)
    BCGD(rho=0.0001)
    """
    if type not in SCHEMES:
        raise ConfigError(f"scheme type={type!r} is not known; choose one of {', '.join(SCHEMES)}")
    known = [field.name for field in dataclasses.fields(SCHEMES[type])]
    if unknown := sorted(set(settings) - set(known)):
        raise ConfigError(
            f"scheme {type!r} does not take {unknown}; "
            f"{'it takes ' + ', '.join(known) if known else 'it has no settings'}"
        )
    return SCHEMES[type](**settings)


def describe_scheme(scheme: Projection) -> dict[str, Any]:
    """The settings as plain data, from which ``build_scheme(**...)`` makes the same scheme.

    >>> describe_scheme(BCGD())
    {'type': 'bcgd', 'rho': 1e-05}
    """
    return {"type": scheme.type, **dataclasses.asdict(scheme)}


@torch.no_grad()
def blend_(weight: Tensor, quantized: Tensor, rho: float) -> Tensor:
    """``(1 - rho) * weight + rho * quantized``, written to ``weight``."""
    return weight.lerp_(quantized, rho)


def _check(scheme: Projection, key: str, low: float, high: float = math.inf) -> None:
    value = getattr(scheme, key)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and low <= value <= high):
        allowed = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        raise ConfigError(f"scheme {scheme.type!r}: {key}={value!r} is not possible; use {allowed}")
