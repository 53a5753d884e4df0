"""Batch norms' statistics, estimated anew in front of each norm.

What a training leaves there are moving averages over weights that were still on their way; of
averaged weights (EMA) they are another network's altogether.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lbwdet.errors import ConfigError, LBWError
from lbwdet.posttraining.in_order import total
from lbwdet.posttraining.norms import channel_sums
from lbwdet.posttraining.plan import make_plan
from lbwdet.posttraining.walk import Walk, calls_of


@torch.no_grad()
def estimate_norms(
    model: nn.Module,
    inputs: Sequence[Any],
    forward: Callable[[nn.Module, Any], object] = lambda model, x: model(x),
    on_norm: Callable[[str, int, int], None] = lambda name, index, number: None,
) -> list[str]:
    """Sets each batch norm's mean and variance to those of what it reads on these inputs.

    Norm after norm, as a pass meets them, so that each reads what the ones before it now
    give. Unlike :func:`~lbwdet.posttraining.post_train` no float network is aimed at.

    Args:
        model: changed in place; in eval mode, quantized or not.
        inputs: of single forward passes, all of which wait for each other.
        forward: runs the module on one of them.
        on_norm: is told of each norm's name, its number and their number.

    Returns:
        The names of the norms.

    Raises:
        ConfigError: in training mode, or no input.
        LBWError: a norm reads NaN or infinity, or has no variance to estimate.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
    >>> estimate_norms(net, [torch.randn(32, 2) for _ in range(4)])
    ['1']
    """
    if model.training:
        raise ConfigError(f"{type(model).__name__} is in training mode; call eval() first")
    if not inputs:
        raise ConfigError("no inputs: the statistics need one image or more")
    plan = make_plan(model, {}, lambda: forward(model, inputs[0]))
    names = list(plan.uses)
    passes = [lambda x=x: forward(model, x) for x in inputs]
    with Walk([model], names, passes) as walk:
        for index, name in enumerate(walk):
            first = [run.arguments[0] for run in walk.runs if run.at == name]
            norm: Any = model.get_submodule(name)
            if plan.uses[name] > 1:  # later calls come after others of the same pass: anew
                each = (calls_of(norm, plan.uses[name], run) for run in passes)
                first = [args[0] for calls in each for args in calls]
            _set(name, norm, first)
            on_norm(name, index + 1, len(names))
    return names


def _set(name: str, norm: Any, inputs: Iterable[Tensor]) -> None:
    sums = total(channel_sums(x) for x in inputs)
    if sums.count < 2:
        raise LBWError(f"{name}: reads a single position; its variance needs more images")
    if not bool(torch.isfinite(sums.second).all()):
        raise LBWError(f"{name}: its inputs are NaN or infinite; an earlier layer is damaged")
    norm.running_mean.copy_(sums.mean)
    norm.running_var.copy_(sums.variance * (sums.count / (sums.count - 1)))  # as torch has it
