"""MMDetection's detector parts with a ``quant`` argument.

Each takes ``quant=dict(weight=dict(bit_width=6, ...), activation=dict(bit_width=8, ...),
keep_float=[...], overrides={...})``, the arguments of :func:`lbwdet.layers.quantize_`,
and is otherwise the class it extends: same arguments, and the same state-dict keys
unless activations are quantized. ``quant=None`` or a bit width of 32 is the float part.
Quantized activations need an ``ActivationHook`` among the hooks of a training.
"""

from collections.abc import Mapping
from typing import Any

from mmdet.models import FPN, ResNet, RPNHead, Shared2FCBBoxHead
from mmdet.registry import MODELS
from mmengine.registry import MODELS as ROOT_MODELS

from lbwdet.layers import QuantConv2d, QuantLinear, QuantReLU, quantize_


class QuantizedPart:
    """Mixin: quantizes the module once its layers exist."""

    def __init__(self, *args: Any, quant: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if quant is not None:
            quantize_(self, **quant)  # type: ignore[type-var]  # a mixin of modules


@MODELS.register_module()
class LBWResNet(QuantizedPart, ResNet):
    """ResNet with low-bit weights.

    ``frozen_stages`` means what it means in ``ResNet``: the stages keep their
    weights. They are computed with the quantized weights all the same, since
    these are what will be deployed.
    """


@MODELS.register_module()
class LBWFPN(QuantizedPart, FPN):
    """Feature pyramid with low-bit weights."""


@MODELS.register_module()
class LBWRPNHead(QuantizedPart, RPNHead):
    """Region proposal head with low-bit weights."""


@MODELS.register_module()
class LBWShared2FCBBoxHead(QuantizedPart, Shared2FCBBoxHead):
    """The box head of Faster R-CNN with low-bit weights."""


# mmcv builds `conv_cfg=dict(type='LBWConv2d', bit_width=6)` from the root registry.
ROOT_MODELS.register_module(name="LBWConv2d", module=QuantConv2d)
ROOT_MODELS.register_module(name="LBWLinear", module=QuantLinear)
# And `act_cfg=dict(type='QuantReLU', bit_width=4)`.
ROOT_MODELS.register_module(name="QuantReLU", module=QuantReLU)
