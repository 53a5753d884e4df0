"""The activation quantizer with a step of its own for each channel."""

import torch
from torch import Tensor

from lbwdet.layers.channel_samples import ChannelSamples
from lbwdet.layers.input_quantizer import InputQuantizer
from lbwdet.quantizers import ActivationSettings, uniform_quantize
from lbwdet.quantizers.activation import uniform_codes
from lbwdet.quantizers.channel_steps import best_steps
from lbwdet.quantizers.float_bits import exp2


class ChannelInputQuantizer(InputQuantizer):
    """Quantizes what a convolution reads, each channel c in steps of ``2**exponents[c]``::

        sigma(x_c) = 2**e_c * (clamp(round(x_c / 2**e_c) + zero_point, 0, L) - zero_point)

    Networks made for small devices have channels whose ranges are octaves apart, behind functions
    (SiLU) that no factor passes through. One step for all leaves the quiet ones a few levels.
    Powers of two, found for each channel by its own data alone, cost a step of at most twice
    the best size; and a channel has the same step wherever it is read, whichever channels lie
    beside it: joined maps stay as they are.

    The layer's weight takes the steps on: see :attr:`lbwdet.layers.QuantLayer.unit`. Nothing here
    is learned: ``alpha`` stays 1.

    Args:
        settings: of granularity ``'channel'``.
        channels: of the input.
        axis: of the channels, from the end.
        layer_name: for error messages.

    Attributes:
        exponents: int8 [C] buffer.
    """

    exponents: Tensor

    def __init__(
        self, settings: ActivationSettings, channels: int, axis: int, layer_name: str = ""
    ) -> None:
        super().__init__(settings, layer_name)
        self.axis = axis
        self.alpha.requires_grad_(False)
        self.register_buffer("exponents", torch.zeros(channels, dtype=torch.int8))

    @property
    def bit_width(self) -> int:
        return self.settings.bit_width

    @property
    def rounding(self) -> str:
        return "nearest"

    def steps(self) -> Tensor:
        """What one step of each channel's integers is worth: float32 [C, 1, ...]."""
        return exp2(self.exponents).float().reshape(-1, *[1] * (-self.axis - 1))

    def quantize(self, x: Tensor) -> Tensor:
        self._check(x)
        codes = uniform_codes(x / self.steps(), self.scale, int(self.zero_point), self.bit_width)
        return codes.to(torch.uint8)

    def dequantize(self, codes: Tensor) -> Tensor:
        return super().dequantize(codes) * self.steps()

    def forward(self, x: Tensor) -> Tensor:
        if self._samples is not None:
            self._samples.add(x, self.name())
            return x
        self._check(x)
        if x.numel() == 0:
            return x
        steps = self.steps()  # float16 knows no step below 2^-24
        zero_point, ste = int(self.zero_point), self.settings.ste
        found = uniform_quantize(x / steps, self.scale, zero_point, self.bit_width, ste) * steps
        return found.to(x.dtype)

    def collect(self) -> None:
        self._samples = ChannelSamples(self.axis)

    def calibrate(self) -> None:
        samples, self._samples = self._samples, None
        if not isinstance(samples, ChannelSamples) or not samples.values:
            return
        exponents, zero_point = best_steps(
            samples.joined(), self.bit_width, self.settings.symmetric
        )
        with torch.no_grad():
            self.exponents.copy_(exponents)
            self.alpha.fill_(1.0)
            self.calibrated.fill_(1.0)
            self.zero_point.fill_(zero_point)
