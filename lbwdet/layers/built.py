"""Models that were quantized where they were built, and are not quantized again by a hook."""

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn

from lbwdet.layers.quantize import quantize_

M = TypeVar("M", bound=nn.Module)
_MARK = "quantized_as_built"


def quantize_as_built_(module: M, quant: Mapping[str, Any]) -> M:
    """:func:`~lbwdet.layers.quantize_` by the settings of the config that the module is built from.

    Args:
        module: as it was built; changed in place.
        quant: the arguments of ``quantize_``.

    Returns:
        ``module`` itself, of which :func:`quantized_as_built` is true from now on.
    """
    quantize_(module, **quant)
    setattr(module, _MARK, True)
    return module


def quantized_as_built(module: nn.Module) -> bool:
    """Whether the module, or one inside it, says its quantization where it is built."""
    return any(hasattr(part, _MARK) for part in module.modules())
