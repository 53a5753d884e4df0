"""One-bit weights."""

import torch
from torch import Tensor

from lbwdet.errors import ConfigError
from lbwdet.quantizers.base import WeightQuantizer, check_finite


class BinaryQuantizer(WeightQuantizer):
    """``sign(w) * mean|w|``, the least-squares binary weight (arXiv 1808.05240).

    Zero counts as positive, so that one bit per weight suffices. The scale is
    the one that is not a power of two.
    """

    solver = "exact"

    def __init__(self, bit_width: int, code: str = "paper", granularity: str = "tensor") -> None:
        super().__init__(bit_width, code, granularity)
        if bit_width != 1:
            raise ConfigError(f"binary weights have bit_width=1, not {bit_width}")

    def scale(self, groups: Tensor) -> Tensor:
        # In float64 the mean of equal float32 values is that value: idempotent.
        mean = groups.abs().to(torch.float64).mean(1)
        check_finite(mean)
        return mean.to(torch.float32)

    def assign(self, groups: Tensor, scale: Tensor) -> Tensor:
        return torch.where(groups < 0, -scale[:, None], scale[:, None])

    def _encode(self, levels: Tensor, scale: Tensor) -> Tensor:
        # By the sign bit: in an all-zero group the levels are ±0.
        return (1 - 2 * torch.signbit(levels).to(torch.int8)).to(torch.int8)
