"""What calibration remembers of the tensors that a layer reads, channel by channel."""

import torch
from torch import Tensor

from lbwdet.layers.input_samples import InputSamples
from lbwdet.quantizers.activation import check_finite_activation

_POSITIONS_PER_CALL, _POSITIONS = 126, 1 << 13  # 64 calls, with the extremes, fill it


class ChannelSamples(InputSamples):
    """Evenly spaced positions of the tensors that one quantizer saw, and each channel's extremes.

    Args:
        axis: of the channels, from the end.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self._axis = axis

    def add(self, x: Tensor, name: str) -> None:
        x = x.detach()
        if x.numel() == 0:
            return
        check_finite_activation(x, name)
        rows = x.movedim(self._axis, -1).reshape(-1, x.shape[self._axis])
        # An odd distance, or a picture's width in powers of two would pick few columns.
        distance = -(-len(rows) // _POSITIONS_PER_CALL) | 1
        ends = torch.stack([*torch.aminmax(rows, dim=0)])
        self.values.append(torch.cat([rows[::distance], ends]).float().cpu())

    def joined(self) -> Tensor:
        """[N, C]."""
        values = torch.cat(self.values)
        return values[:: -(-len(values) // _POSITIONS)]
