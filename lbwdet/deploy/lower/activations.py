"""What training has found out about the inputs of layers."""

from collections.abc import Mapping

import torch
from torch import nn

from lbwdet.deploy.lower.draft import LayerParameters
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ConfigError


def trained_activations(
    model: nn.Module, layers: Mapping[str, LayerParameters]
) -> dict[str, Quantization]:
    """The quantization of each layer's input, of those layers that have an ``input_quantizer``.

    Inputs that are never negative are rounded up, as the quantized ReLU of training
    does; the others to the nearest level, as all are whose channels have steps of their own.

    Raises:
        ConfigError: an input quantizer that no data has calibrated.
    """
    found = {}
    for name, layer in layers.items():
        quantizer = getattr(model.get_submodule(layer.module), "input_quantizer", None)
        if quantizer is None:
            continue
        if not quantizer.is_calibrated:
            raise ConfigError(
                f"{layer.module}: its activation quantizer has seen no data; use a checkpoint that "
                "was trained with quantized activations, or a config without them"
            )
        exponents = getattr(quantizer, "exponents", torch.zeros(0)).int().tolist()
        found[name] = Quantization(
            scale=float(quantizer.scale),
            zero_point=int(quantizer.zero_point),
            maximum=2**quantizer.bit_width - 1,
            rounding=quantizer.rounding,
            # All zero, as those of an image: the same as none, which more operations take.
            exponents=tuple(exponents) if any(exponents) else (),
        )
    return found
