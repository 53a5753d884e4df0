"""The activation quantizer that settings ask for."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

from lbwdet.errors import ConfigError
from lbwdet.layers.channel_quantizer import ChannelInputQuantizer
from lbwdet.layers.input_quantizer import InputQuantizer
from lbwdet.quantizers import ActivationSettings


def build_input_quantizer(
    layer: nn.Module, settings: Mapping[str, Any], name: str = ""
) -> InputQuantizer:
    """The activation quantizer that a config asks for, for one layer.

    A convolution of at most three channels reads the image: whatever the settings say, that
    is quantized to 8 bits with a zero point that follows the data. Of granularity ``'channel'``
    are the inputs of two-dimensional convolutions; other layers have one step for all. Where the
    layer's weight is frozen, so is the resolution.

    Raises:
        ConfigError: an unknown setting, or a value that is not allowed.
    """
    known = {field.name for field in dataclasses.fields(ActivationSettings)}
    if unknown := sorted(set(settings) - known):
        raise ConfigError(
            f"unknown activation settings {unknown}; choose from {', '.join(sorted(known))}"
        )
    checked = ActivationSettings(**settings)
    if isinstance(layer, _ConvNd) and layer.in_channels <= 3:
        checked = dataclasses.replace(checked, bit_width=8, signed_bit_width=8, symmetric=False)
    if checked.granularity == "channel" and isinstance(layer, nn.Conv2d) and layer.in_channels > 3:
        return ChannelInputQuantizer(checked, layer.in_channels, -3, name)
    quantizer = InputQuantizer(checked, name)
    # Distributed training waits for the gradient of whatever asks for one when it begins.
    quantizer.alpha.requires_grad_(bool(layer.weight.requires_grad))
    return quantizer
