"""Norms: batch norm as a factor and an offset per channel, group norm as its own operation."""

from dataclasses import replace

import torch
from torch import Tensor

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.group_norm import GroupNorm


@rule("batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training")
def batch_norm(site: Site) -> Affine:
    """``gain = gamma / sqrt(variance + eps)``, ``bias = beta - mean * gain``, in float64."""
    if site.argument("training"):
        raise site.refused("in training mode; lower a model after eval()")
    source = site.value("input")
    channels, *sides = site.map(source)
    if len(site.call.shape) == 2 and sides != [1, 1]:
        raise site.refused("of a flattened map")

    def read(name: str, default: float) -> Tensor:
        tensor = site.argument(name)
        if tensor is None:
            return torch.full((channels,), default, dtype=torch.float64)
        assert isinstance(tensor, Tensor)
        return tensor.detach().double()

    gain = read("weight", 1) / (read("running_var", 1) + float(site.argument("eps"))).sqrt()
    bias = read("bias", 0) - read("running_mean", 0) * gain
    return Affine(source, site.output, tuple(gain.tolist()), tuple(bias.tolist()))


@rule("_native_batch_norm_legit", "_native_batch_norm_legit_functional")
def learning_batch_norm(site: Site) -> Affine:
    raise site.refused("in training mode; lower a model after eval()")


@rule("group_norm", "native_group_norm")
def group_norm(site: Site) -> GroupNorm:
    groups = site.argument("num_groups" if "num_groups" in site.call.arguments else "group")
    return _group_norm(site, int(groups))


@rule("layer_norm", "native_layer_norm")
def layer_norm(site: Site) -> GroupNorm:
    """One group of all channels: of tokens, pixel by pixel; of gates and vectors, their pixel."""
    shape, axes = list(site.shape("input")), list(site.argument("normalized_shape"))
    if site.argument("per_pixel"):
        return replace(_group_norm(site, 1), per_pixel=True)
    if shape[2:] not in ([1, 1], []) or axes != shape[1:]:
        raise site.refused(f"over {axes} of a tensor of shape {shape}")
    return _group_norm(site, 1)


def _group_norm(site: Site, groups: int) -> GroupNorm:
    source, rank = site.value("input"), len(site.shape("input"))
    if rank != 4 and not (rank == 2 and site.map(source)[1:] == (1, 1)):
        raise site.refused(f"of a tensor of shape {list(site.shape('input'))}")

    def read(name: str, default: float) -> tuple[float, ...]:
        tensor = site.argument(name)
        if tensor is None:
            return (default,) * site.map(source)[0]
        assert isinstance(tensor, Tensor)
        return tuple(tensor.detach().double().flatten().tolist())

    gain, bias = read("weight", 1.0), read("bias", 0.0)
    return GroupNorm(source, site.output, groups, gain, bias, float(site.argument("eps")))
