"""Modules that are a single call while they are traced, although PyTorch makes several of them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from mmdet.models.necks.ssd_neck import L2Norm
from torch import Tensor


@torch.library.custom_op("lbwdet::l2_norm", mutates_args=())
def l2_norm(input: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``weight[c] * x_c / (sqrt(sum of x_c**2) + eps)``, over the channels of each pixel."""
    length = input.pow(2).sum(1, keepdim=True).sqrt() + eps
    return weight[:, None, None] * input / length


@l2_norm.register_fake
def _(input: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.empty_like(input)


def _l2_norm(module: Any, input: Tensor) -> Tensor:
    found = l2_norm(input, module.weight, module.eps)
    assert isinstance(found, Tensor)
    return found


@contextlib.contextmanager
def single_calls() -> Iterator[None]:
    """Inside the block each of these modules calls one operator of this file."""
    before = L2Norm.forward
    L2Norm.forward = _l2_norm
    try:
        yield
    finally:
        L2Norm.forward = before
