"""The order of memory in which convolutions on a CPU are fastest."""

from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from lbwdet.training.bare_model import bare_model


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Gives a detector its images with the channels of a position side by side; maps follow.

    Sums are added up in another order then, and what comes out is equal but for rounding. To be
    named before hooks that copy the model, so that the copy is as fast.
    """

    _handle: Any = None

    def before_train(self, runner: Runner) -> None:
        backbone: nn.Module = bare_model(runner).backbone
        self._handle = backbone.register_forward_pre_hook(_channels_last)

    def after_train(self, runner: Runner) -> None:
        self._handle.remove()


def _channels_last(backbone: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    return (args[0].contiguous(memory_format=torch.channels_last),)
