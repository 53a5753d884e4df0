"""The detector itself, inside whatever wraps it."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


def bare_model(runner: Runner) -> Any:
    """The runner's model, without the wrapper that distributed training puts around it."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model
