"""The quantized ReLU as a module."""

from typing import Any

from lbwdet.layers.input_quantizer import InputQuantizer
from lbwdet.layers.input_samples import InputSamples
from lbwdet.quantizers import ActivationSettings


class QuantReLU(InputQuantizer):
    """The quantized ReLU as a module, in the place of an ``nn.ReLU`` of a net of one's own.

    Takes the fields of :class:`~lbwdet.quantizers.ActivationSettings` as keywords,
    and ``inplace``, without effect, for ``act_cfg=dict(type='QuantReLU', bit_width=4)``.
    Each use in the net should be a module of its own: one that is called in
    several places has one resolution for all of them. Layers that read its output should
    not quantize their inputs once more.
    """

    def __init__(self, inplace: bool = False, **settings: Any) -> None:
        super().__init__(ActivationSettings(**settings))

    def _takes_negative(self, samples: InputSamples) -> bool:
        return False
