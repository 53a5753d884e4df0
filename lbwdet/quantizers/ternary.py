"""LBW-Net's ternary solver: the exact solution for one magnitude, by sorting."""

import torch
from torch import Tensor

from lbwdet.errors import ConfigError
from lbwdet.quantizers.base import WeightQuantizer, check_finite
from lbwdet.quantizers.float_bits import exp2, floor_log2
from lbwdet.quantizers.power_of_two import nearest_level


class SortQuantizer(WeightQuantizer):
    """Ternary weights ``{0, ±2**s}`` in O(N log N) (solver ``'sort'``, ``n = 1``).

    With ``L_k`` the sum of the ``k`` largest magnitudes, the best scale for ``k``
    weights kept is ``s(k) = floor(log2(4 L_k / (3 k)))``, and the best ``k``
    minimises ``k * 4**s - 2 * 2**s * L_k`` (arXiv 1612.06052). Finds the same
    squared error as solver ``'exact'``, more slowly.
    """

    solver = "sort"

    def __init__(self, bit_width: int, code: str = "paper", granularity: str = "tensor") -> None:
        super().__init__(bit_width, code, granularity)
        if bit_width == 1 or self.num_magnitudes != 1:
            raise ConfigError(
                f"solver='sort' is for ternary weights, bit_width=2; got bit_width={bit_width} "
                f"with code={code!r}; use solver='exact' or 'threshold'"
            )

    def scale(self, groups: Tensor) -> Tensor:
        magnitude = groups.abs().to(torch.float64).sort(1, descending=True).values
        check_finite(magnitude[:, 0])
        largest_sum = magnitude.cumsum(1)
        number = torch.arange(1, magnitude.shape[1] + 1, device=groups.device)
        level = exp2(floor_log2(4 * largest_sum / (3 * number)).clamp(-126, 127))
        best = (level * (number * level - 2 * largest_sum)).argmin(1, keepdim=True)
        scale = torch.where(magnitude[:, :1] > 0, level.gather(1, best), 1.0)
        return scale[:, 0].to(torch.float32)

    def assign(self, groups: Tensor, scale: Tensor) -> Tensor:
        return nearest_level(groups, scale, 1)
