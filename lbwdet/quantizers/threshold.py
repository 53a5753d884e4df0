"""LBW-Net's semi-analytical threshold scheme, kept to reproduce the paper."""

import math
from typing import Any

import torch
from torch import Tensor

from lbwdet.errors import ConfigError
from lbwdet.quantizers.base import WeightQuantizer, check_finite
from lbwdet.quantizers.float_bits import exp2, floor_log2

DEFAULT_MU = 0.75


class ThresholdQuantizer(WeightQuantizer):
    """Levels by thresholds that are fractions of one free parameter (solver ``'threshold'``).

    With ``m = mu * max|W|`` a weight gets level ``t`` where
    ``2**-t * m <= |w| < 2**(1-t) * m`` (level 0 has no upper end), the lowest
    level ``t = n - 1`` reaches down to ``2**(2-n) / 3 * m``, and what lies below
    becomes zero. With ``W_t`` the weights of level ``t`` and ``k_t`` their number,

        s = floor(log2( 4 sum_t 2**-t |W_t|_1 / (3 sum_t k_t 4**-t) )).

    The paper (arXiv 1612.06052) finds ``mu`` by retraining and detection tests;
    at 3/4 of the maximum, the default here, the scheme is far from the least
    squared error at few bits. It is neither idempotent nor defined for ``n = 1``.

    Args:
        mu: the free parameter, as a fraction of ``max|W|`` of each group, > 0.
    """

    solver = "threshold"

    def __init__(
        self,
        bit_width: int,
        code: str = "paper",
        granularity: str = "tensor",
        mu: float | None = None,
    ) -> None:
        super().__init__(bit_width, code, granularity)
        if self.num_magnitudes < 2:
            raise ConfigError(
                f"solver='threshold' needs at least two magnitudes, bit_width={bit_width} with "
                f"code={code!r} has one; use solver='exact' or 'sort'"
            )
        try:
            self.mu = DEFAULT_MU if mu is None else float(mu)
        except (TypeError, ValueError):
            self.mu = math.nan
        if not 0 < self.mu < math.inf:
            raise ConfigError(f"mu={mu!r} is a fraction of max|W|: a positive finite number")

    @property
    def options(self) -> dict[str, Any]:
        return dict(mu=self.mu)

    def _levels(self, groups: Tensor) -> tuple[Tensor, Tensor]:
        """Level index ``t`` of each weight, and whether it is kept; both [G, K]."""
        maximum = groups.abs().amax(1, keepdim=True).to(torch.float64)
        check_finite(maximum)
        # In float64 the quotient of two float32 never rounds across a power of two.
        ratio = groups.abs().to(torch.float64) / (self.mu * maximum).clamp(min=2.0**-1022)
        last = self.num_magnitudes - 1
        level = (-floor_log2(ratio)).clamp(0, last)
        kept = ratio >= 2.0 ** (1 - last) / 3
        return level, kept

    def scale(self, groups: Tensor) -> Tensor:
        level, kept = self._levels(groups)
        weight = exp2(-level) * kept
        numerator = 4 * (weight * groups.abs()).sum(1)
        denominator = 3 * (weight * weight).sum(1)
        quotient = numerator / denominator.clamp(min=2.0**-1022)
        scale = exp2(floor_log2(quotient).clamp(-126, 127))
        return torch.where(numerator > 0, scale, 1.0).to(torch.float32)

    def assign(self, groups: Tensor, scale: Tensor) -> Tensor:
        level, kept = self._levels(groups)
        magnitude = (scale[:, None] * exp2(-level)).to(torch.float32)
        # Levels below the smallest normal float32 do not exist, see power_of_two.
        kept &= magnitude >= torch.finfo(torch.float32).tiny
        return torch.where(kept, torch.copysign(magnitude, groups), 0.0)
