"""Calibrating the activation quantizers of a module, and keeping them in range."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn

from lbwdet.errors import ConfigError, LBWError
from lbwdet.layers.input_quantizer import InputQuantizer

RANGE = 8.0  # alpha stays within this factor of what calibration found


def input_quantizers(module: nn.Module) -> dict[str, InputQuantizer]:
    """Every activation quantizer in the module, by dotted name."""
    return {
        name: child for name, child in module.named_modules() if isinstance(child, InputQuantizer)
    }


def activation_keys(module: nn.Module) -> set[str]:
    """Keys of the state dict that a model with float activations does not have.

    A layer that stands in several places, as in heads shared by levels, has keys of each.
    """
    return {
        f"{name}.{key}" if name else key
        for name, child in module.named_modules(remove_duplicate=False)
        if isinstance(child, InputQuantizer)
        for key in child.state_dict()
    }


@contextlib.contextmanager
def calibration(module: nn.Module, again: bool = True) -> Iterator[None]:
    """Calibrates every activation quantizer by the data that runs through the module meanwhile.

    Inputs of their layers pass unquantized in this time. A quantizer that sees no data stays
    as it is; after an exception, all do.

    Args:
        module: quantized by :func:`~lbwdet.layers.quantize_` with ``activation``.
        again: also those that are calibrated already.

    Raises:
        ConfigError: the module has no activation quantizer.

    >>> from lbwdet.layers import quantize_
    >>> net = quantize_(nn.Sequential(nn.Linear(4, 2)), dict(bit_width=4), dict(bit_width=8))
    >>> with calibration(net):
    ...     _ = net(torch.linspace(0, 1, 8).reshape(2, 4))
    >>> net[0].input_quantizer.unsigned, net[0].input_quantizer.is_calibrated
    (True, True)
    """
    every = input_quantizers(module).values()
    if not every:
        raise ConfigError(
            f"{type(module).__name__} has no activation quantizer to calibrate; "
            "give quantize_ its activation settings"
        )
    quantizers = [quantizer for quantizer in every if again or not quantizer.is_calibrated]
    for quantizer in quantizers:
        quantizer.collect()
    try:
        yield
        for quantizer in quantizers:
            quantizer.calibrate()
    finally:
        for quantizer in quantizers:
            quantizer.forget()


@torch.no_grad()
def limit_resolutions(module: nn.Module) -> list[str]:
    """Keeps every ``alpha`` within a factor of 8 of what calibration found.

    Returns:
        Names of the layers whose resolution was beyond it.

    Raises:
        LBWError: an ``alpha`` is NaN or infinite.
    """
    quantizers = [q for q in input_quantizers(module).values() if q.alpha.requires_grad]
    if not quantizers:
        return []
    alpha = torch.stack([q.alpha for q in quantizers])
    middle = torch.stack([q.calibrated for q in quantizers])
    if not bool(torch.isfinite(alpha).all()):
        bad = [
            q.name()
            for q, value in zip(quantizers, alpha.tolist(), strict=True)
            if not math.isfinite(value)
        ]
        raise LBWError(
            f"{', '.join(bad)}: the resolution of the activations is NaN or infinite. The training "
            "diverged: lower the learning rate, or clip gradients."
        )
    kept = torch.minimum(torch.maximum(alpha, middle / RANGE), middle * RANGE)
    beyond = ((kept != alpha) & (middle > 0)).nonzero().flatten().tolist()
    for index in beyond:
        quantizers[index].alpha.copy_(kept[index])
    return [quantizers[index].name() for index in beyond]
