"""Shows what quantization does to each layer while it trains."""

from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from torch import Tensor

from lbwdet.layers import QuantLayer, quantized_layers
from lbwdet.quantizers import relative_error
from lbwdet.training.bare_model import bare_model
from lbwdet.training.quant_record_hook import QuantRecordHook


@HOOKS.register_module()
class QuantMonitorHook(QuantRecordHook):
    """Logs the state of every quantized layer through MMEngine's visualizer and logger.

    Per layer, under ``quant/<layer>/...`` in ``scalars.json``, TensorBoard or
    whatever visualizer backend is configured:

    - ``scale_exponent``: the ``s`` of the top level ``2**s`` (mean over channels)
    - ``zeros``: share of weights at level zero
    - ``error``: relative squared quantization error ``|W - Q(W)|^2 / |W|^2``
    - ``changed``: share of weights whose code differs from the last log

    The log gets one line for the whole model, and a table of the layers after
    the last epoch. Checkpoints say how each layer was quantized.

    Args:
        interval: training iterations between two logs.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, interval: int = 100) -> None:
        self.interval = interval
        self._codes: dict[str, Tensor] = {}
        self._last_step = -1
        self._statistics: dict[str, dict[str, float]] = {}

    def before_train(self, runner: Runner) -> None:
        self._log(runner, runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, **kwargs: Any) -> None:
        if self.every_n_train_iters(runner, self.interval):
            self._log(runner, runner.iter + 1)  # the loop counts this iteration afterwards

    def after_train(self, runner: Runner) -> None:
        if self._last_step != runner.iter:
            self._log(runner, runner.iter)
        if self._statistics:
            runner.logger.info("quantized layers after training\n" + _table(self._statistics))

    @torch.no_grad()
    def _log(self, runner: Runner, step: int) -> None:
        self._last_step = step
        layers = quantized_layers(bare_model(runner))
        if not layers or not is_main_process():  # the weights are the same on every rank
            return
        statistics = {name: self._measure(name, layer) for name, layer in layers.items()}
        self._statistics = statistics
        runner.visualizer.add_scalars(
            {
                f"quant/{name}/{key}": value
                for name, values in statistics.items()
                for key, value in values.items()
            },
            step=step,
        )
        size = {name: layer.weight.numel() for name, layer in layers.items()}
        total = sum(size.values())
        mean = {
            key: sum(values[key] * size[name] for name, values in statistics.items()) / total
            for key in ("zeros", "error", "changed")
        }
        runner.logger.info(
            f"quant [{step}] {len(layers)} layers  zeros: {mean['zeros']:.4f}  "
            f"error: {mean['error']:.4f}  changed: {mean['changed']:.4f}"
        )

    def _measure(self, name: str, layer: QuantLayer) -> dict[str, float]:
        quantized = layer.quantized_weight()
        weight = layer.weight.detach().float()
        previous = self._codes.get(name, quantized.codes)
        self._codes[name] = quantized.codes
        return dict(
            scale_exponent=quantized.scale_exponent.float().mean().item(),
            zeros=(quantized.codes == 0).float().mean().item(),
            error=relative_error(weight, layer.in_ones(quantized.dequantize())),
            changed=(quantized.codes != previous).float().mean().item(),
        )


def _table(statistics: dict[str, dict[str, float]]) -> str:
    width = max(len(name) for name in statistics)
    lines = [f"{'layer':{width}}  exponent   zeros   error"]
    lines += [
        f"{name:{width}}  {values['scale_exponent']:8.1f}  {values['zeros']:6.3f}  "
        f"{values['error']:6.4f}"
        for name, values in statistics.items()
    ]
    return "\n".join(lines)
