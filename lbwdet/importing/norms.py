"""Batch norm given back to convolutions that it was folded into, and channels of one scale."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from lbwdet.posttraining.norms import ChannelSums, channel_sums

Folded = tuple[Tensor, Tensor]  # weight and bias of a convolution


def normalized_convs(model: nn.Module) -> dict[str, ConvModule]:
    """Every convolution of ``model`` with a batch norm behind it, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, ConvModule) and module.with_norm
    }


@torch.no_grad()
def put_folded_(model: nn.Module, folded: Mapping[str, Folded]) -> None:
    """Gives layers a weight and a bias, of which their batch norms just add the bias.

    Args:
        model: in evaluation mode it then computes what the folded network does.
        folded: of every convolution, by the name of its module: that of the ``ConvModule``
            where there is a norm, that of the layer itself where there is none.
    """
    for name, (weight, bias) in folded.items():
        module: Any = model.get_submodule(name)
        if isinstance(module, ConvModule):
            module.conv.weight.copy_(weight)
            norm = module.norm
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.fill_(1)
            norm.bias.copy_(bias)
        else:
            module.weight.copy_(weight)
            module.bias.copy_(bias)


@torch.no_grad()
def unfold_(model: nn.Module, forwards: Iterable[Callable[[], object]]) -> None:
    """Gives every batch norm the statistics of what it is given, without changing its output.

    After :func:`put_folded_` a norm computes z + b. With mean m and variance v of z over
    all positions of all images it becomes g (z - m) / sqrt(v + eps) + (b + m) with
    g = sqrt(v + eps): the same function in evaluation mode, and nearly so in training
    mode, where statistics are those of a batch.

    Args:
        model: in evaluation mode, as :func:`put_folded_` leaves it.
        forwards: a forward pass for each image.
    """
    sums: dict[str, ChannelSums] = {}

    def watch(name: str) -> Any:
        def hook(norm: nn.Module, args: tuple[Tensor]) -> None:
            found = channel_sums(args[0])
            sums[name] = sums[name] + found if name in sums else found

        return hook

    convs = normalized_convs(model)
    hooks = [conv.norm.register_forward_pre_hook(watch(name)) for name, conv in convs.items()]
    try:
        for forward in forwards:
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    for name, found in sums.items():
        norm = convs[name].norm
        norm.running_mean.copy_(found.mean)
        norm.running_var.copy_(found.variance)
        norm.weight.copy_((norm.running_var.double() + norm.eps).sqrt())
        norm.bias.add_(norm.running_mean)


@torch.no_grad()
def scale_to_unit_variance_(model: nn.Module) -> None:
    """Divides each channel in front of a batch norm by its running standard deviation.

    The same function: whatever factor a channel has, its norm takes it out again. But then
    one exponent serves all channels of a layer, and no channel of tiny weights has a huge
    gradient.
    """
    for conv in normalized_convs(model).values():
        norm = conv.norm
        deviation = (norm.running_var.double() + norm.eps).sqrt()
        conv.conv.weight.copy_(conv.conv.weight / deviation[:, None, None, None])
        if conv.conv.bias is not None:
            conv.conv.bias.copy_(conv.conv.bias / deviation)
        norm.running_mean.copy_(norm.running_mean / deviation)
        norm.running_var.fill_(1 - norm.eps)
