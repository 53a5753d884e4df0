"""Quantizes a whole detector of any type, from a config line."""

from collections.abc import Mapping
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lbwdet.layers import input_quantizers, quantize_, quantized_layers, unquantized_weights
from lbwdet.training.activation_hook import ActivationHook
from lbwdet.training.bare_model import bare_model


@HOOKS.register_module()
class QuantizeHook(Hook):
    """Calls :func:`lbwdet.layers.quantize_` on the runner's model before it runs.

    Works for training, validation and testing, and for models that a wrapper
    (distributed training) holds: parameters keep their identity. With quantized
    activations it adds an :class:`~lbwdet.training.ActivationHook`, unless there is one.

    Args:
        quant: ``dict(weight=dict(bit_width=4, ...), activation=dict(bit_width=8, ...),
            keep_float=[...], overrides={...})``; all but ``weight`` may be left out.

    Example of a config::

        custom_hooks = [dict(type='QuantizeHook', quant=dict(weight=dict(bit_width=4)))]
    """

    # Before EMAHook copies the model.
    priority = "VERY_HIGH"

    def __init__(self, quant: Mapping[str, Any]) -> None:
        self.quant = quant

    def before_run(self, runner: Runner) -> None:
        model = bare_model(runner)
        quantize_(model, **self.quant)
        if input_quantizers(model) and not any(isinstance(h, ActivationHook) for h in runner.hooks):
            runner.register_hook(ActivationHook())  # behind this one: its turn comes, too
        layers, left = quantized_layers(model), unquantized_weights(model)
        runner.logger.info(
            f"QuantizeHook: {len(layers)} layers compute with quantized weights"
            + (f"; {len(left)} weights stay float: {', '.join(list(left)[:8])}" if left else "")
        )
