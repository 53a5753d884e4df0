"""Quantizes a whole detector of any type, from a config line."""

from collections.abc import Mapping
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from lbwdet.layers import quantize_, quantized_layers, unquantized_weights


@HOOKS.register_module()
class QuantizeHook(Hook):
    """Calls :func:`lbwdet.layers.quantize_` on the runner's model before it runs.

    Works for training, validation and testing, and for models that a wrapper
    (distributed training) holds: parameters keep their identity.

    Args:
        quant: ``dict(weight=dict(bit_width=4, ...), keep_float=[...], overrides={...})``.

    Example of a config::

        custom_hooks = [dict(type='QuantizeHook', quant=dict(weight=dict(bit_width=4)))]
    """

    # Before EMAHook copies the model.
    priority = "VERY_HIGH"

    def __init__(self, quant: Mapping[str, Any]) -> None:
        self.quant = quant

    def before_run(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        quantize_(model, **self.quant)
        layers, left = quantized_layers(model), unquantized_weights(model)
        runner.logger.info(
            f"QuantizeHook: {len(layers)} layers compute with quantized weights"
            + (f"; {len(left)} weights stay float: {', '.join(list(left)[:8])}" if left else "")
        )
