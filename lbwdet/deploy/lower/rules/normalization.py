"""Batch norm with the statistics of training: a factor and an offset per channel."""

import torch
from torch import Tensor

from lbwdet.deploy.lower.rule import Site, rule
from lbwdet.deploy.runtime.operations.affine import Affine


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
