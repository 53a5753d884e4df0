"""The detector itself, inside whatever wraps it."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def bare_model(runner: Runner) -> nn.Module:
    """The runner's model, without the wrapper that distributed training puts around it."""
    model: nn.Module = runner.model
    return model.module if is_model_wrapper(model) else model
