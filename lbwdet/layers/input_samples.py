"""What calibration remembers of the tensors that a layer reads."""

import math

import torch
from torch import Tensor

from lbwdet.quantizers.activation import check_finite_activation

_SAMPLES_PER_CALL, _SAMPLES = 1 << 13, 1 << 14


class InputSamples:
    """Evenly spaced values of the tensors that one quantizer saw."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.low = math.inf

    def add(self, x: Tensor, name: str) -> None:
        x = x.detach()
        if x.numel() == 0:
            return
        check_finite_activation(x, name)
        self.low = min(self.low, float(x.min()))
        # An odd distance, or a picture's width in powers of two would pick few columns.
        distance = -(-x.numel() // _SAMPLES_PER_CALL) | 1
        self.values.append(x.reshape(-1)[::distance].float().cpu())

    def joined(self) -> Tensor:
        values = torch.cat(self.values)
        return values[:: -(-values.numel() // _SAMPLES)]
