"""Projects the weights of all layers at once, where that is faster."""

from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lbwdet.layers import QuantLayer, project_together, quantized_layers
from lbwdet.training.bare_model import bare_model


@HOOKS.register_module()
class ProjectionHook(Hook):
    """Before each iteration on a GPU, projects all weights that the last one changed.

    Layers would do so one by one, in thousands of small operations that a GPU waits for; the
    weights are the same. On a CPU the hook does nothing.
    """

    def __init__(self) -> None:
        self._layers: list[QuantLayer] = []

    def before_train(self, runner: Runner) -> None:
        layers = quantized_layers(bare_model(runner)).values()
        self._layers = [layer for layer in layers if layer.weight.device.type != "cpu"]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        project_together(self._layers)
