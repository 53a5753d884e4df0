"""Lets each checkpoint of a training say how its weights are quantized."""

from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

import lbwdet
from lbwdet.layers import describe_quantization
from lbwdet.training.bare_model import bare_model


@HOOKS.register_module()
class QuantRecordHook(Hook):
    """Records in ``meta['lbwdet']`` how each layer was quantized, unless all of them are float.

    Without it the weights of a low-bit detector would pass for those of a float one.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        if quant := describe_quantization(bare_model(runner)):
            checkpoint["meta"]["lbwdet"] = dict(version=lbwdet.__version__, quant=quant)
