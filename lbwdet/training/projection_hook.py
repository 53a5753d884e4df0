"""Projects the weights of all layers at once, where that is faster."""

from collections.abc import Sequence

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.hooks import RemovableHandle

from lbwdet.layers import JointProjection, QuantLayer, is_exact, quantized_layers
from lbwdet.training.bare_model import bare_model


@HOOKS.register_module()
class ProjectionHook(Hook):
    """On a GPU, projects all weights that have changed when a training's forward pass begins.

    Layers would do so one by one, in thousands of small operations that a GPU waits for; the
    weights are the same, which is tried once. On a CPU the hook does nothing.

    Args:
        cuda_graph: repeat these operations as CUDA graphs where there are such, see
            :class:`~lbwdet.layers.JointProjection`. False saves memory, and lets a loss be kept
            over steps: a backward pass through the weights of an earlier step is refused else.
    """

    def __init__(self, cuda_graph: bool = True) -> None:
        self._cuda_graph = cuda_graph
        self._handles: list[RemovableHandle] = []

    def before_train(self, runner: Runner) -> None:
        model = bare_model(runner)
        layers = [
            layer for layer in quantized_layers(model).values() if layer.weight.device.type != "cpu"
        ]
        # Unused parameters are found by what gradients lead to: each weight's must do so alone.
        finds_unused = getattr(runner.model, "find_unused_parameters", False)
        cuda_graph = self._cuda_graph and is_exact(layers, cuda_graph=True)
        if layers and not cuda_graph and not is_exact(layers):
            runner.logger.warning(
                "weights are projected layer by layer, which is slower: this device's projection "
                "of all at once failed, or gave other weights"
            )
        elif layers:
            self._handles = project_before_forward(model, layers, not finds_unused, cuda_graph)

    def after_train(self, runner: Runner) -> None:
        while self._handles:
            self._handles.pop().remove()


def project_before_forward(
    model: nn.Module,
    layers: Sequence[QuantLayer],
    gradients_together: bool = True,
    cuda_graph: bool = False,
) -> list[RemovableHandle]:
    """Calls :class:`~lbwdet.layers.JointProjection` whenever the forward pass begins in training.

    No earlier: a GPU then projects while the processor starts the operations that follow, which
    it could not while it still had to hand over the images. What is recorded has a stream of its
    own and starts before that.
    """
    project = JointProjection(layers, gradients_together, cuda_graph)
    handles = [model.register_forward_pre_hook(lambda *_: project() if model.training else None)]
    preprocessor = getattr(model, "data_preprocessor", None)
    if cuda_graph and isinstance(preprocessor, nn.Module):
        start = lambda *_: project.start() if model.training else None  # noqa: E731
        handles.append(preprocessor.register_forward_pre_hook(start))
    return handles
