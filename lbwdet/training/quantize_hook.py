"""Quantizes a whole detector in MMEngine's Runner alone, as configs did before LBWDetector."""

from collections.abc import Mapping
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lbwdet.layers import input_quantizers, quantized_layers, unquantized_weights
from lbwdet.training.activation_hook import ActivationHook
from lbwdet.training.bare_model import bare_model
from lbwdet.training.build import quantize_by_hook


@HOOKS.register_module()
class QuantizeHook(Hook):
    """Calls :func:`lbwdet.layers.quantize_` on the runner's model before it runs.

    A hook reaches the Runner and ``lbwdet``'s own commands, nothing else: MMDetection's
    ``init_detector``, ``DetInferencer`` and scripts build a *float* model from such a
    config. Write ``model=dict(type='LBWDetector', ...)`` instead, which holds everywhere
    (:func:`lbwdet.models.LBWDetector`); beside it, this hook leaves the model alone.

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
        applied = quantize_by_hook(model, self.quant)
        if input_quantizers(model) and not any(isinstance(h, ActivationHook) for h in runner.hooks):
            runner.register_hook(ActivationHook())  # behind this one: its turn comes, too
        if not applied:
            runner.logger.warning(
                f"QuantizeHook: its settings {dict(self.quant)} are not used, since the model is "
                "quantized where the config builds it (LBWDetector); remove the hook"
            )
            return
        layers, left = quantized_layers(model), unquantized_weights(model)
        runner.logger.info(
            f"QuantizeHook: {len(layers)} layers compute with quantized weights"
            + (f"; {len(left)} weights stay float: {', '.join(list(left)[:8])}" if left else "")
        )
        runner.logger.warning(
            "QuantizeHook: quantizes here, but not where other tools build this config's model "
            "(init_detector, DetInferencer, FLOPs and benchmark scripts): they get a float one. "
            f"model=dict(type='LBWDetector', detector={type(model).__name__!r}, quant=...) instead "
            "of the hook holds everywhere"
        )
