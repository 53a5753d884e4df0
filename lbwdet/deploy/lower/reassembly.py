"""CARAFE as one call: a map enlarged by kernels that a convolution gives for every pixel."""

from typing import Any

import torch
from torch import Tensor

# Only traced, never run: what it computes is the operation Reassemble.
_LIBRARY = torch.library.Library("lbwdet", "FRAGMENT")
_LIBRARY.define(
    "reassemble(Tensor input, Tensor logits, int kernel, int groups, int factor) -> Tensor"
)


def _larger(input: Tensor, logits: Tensor, kernel: int, groups: int, factor: int) -> Tensor:
    height, width = input.shape[2:]
    return input.new_empty(*input.shape[:2], height * factor, width * factor)


torch.library.register_fake("lbwdet::reassemble", _larger, lib=_LIBRARY)


def reassembled(module: Any, x: Tensor) -> Any:
    """mmcv's ``CARAFEPack``."""
    logits = module.content_encoder(module.channel_compressor(x))
    settings = (module.up_kernel, module.up_group, module.scale_factor)
    return torch.ops.lbwdet.reassemble(x, logits, *settings)
