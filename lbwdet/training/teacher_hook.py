"""Training towards the outputs of the float detector, in the place of labels."""

import copy
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from lbwdet.checkpoints import check_fit, read_checkpoint
from lbwdet.layers import QuantLayer
from lbwdet.training.bare_model import bare_model
from lbwdet.training.teacher_distances import teacher_losses


@HOOKS.register_module()
class TeacherHook(Hook):
    """Trains a detector towards what its float version gives for the same images.

    Labels tell a network of a few boxes per image, and of a few hundred images little that
    their float version does not know better; its outputs tell every position of every map,
    and are reached when nothing of the float detector is lost. Any augmentation will do,
    since both see the same pixels. The losses are those of
    :func:`lbwdet.training.teacher_distances.teacher_losses`.

    Args:
        teacher: checkpoint of the float detector.
        labels: weight of the detector's own loss beside; 0: labels are not looked at.
    """

    def __init__(self, teacher: str, labels: float = 0.0) -> None:
        self.teacher, self.labels = teacher, labels

    def before_train(self, runner: Runner) -> None:
        model = bare_model(runner)
        floating = float_copy(model)
        state, _ = read_checkpoint(self.teacher)
        check_fit(floating, state, self.teacher)
        floating.load_state_dict(state)
        own_loss = model.loss

        def loss(inputs: Tensor, samples: Any) -> dict[str, Any]:
            losses: dict[str, Any] = dict(teacher_losses(model, floating, inputs, samples))
            if self.labels:
                own = own_loss(inputs, samples)
                losses |= {key: _scaled(value, self.labels) for key, value in own.items()}
            return losses

        model.loss = loss  # MMEngine has no place between a batch and its loss

    def after_train(self, runner: Runner) -> None:
        del bare_model(runner).loss  # the class's own is seen again


def float_copy(model: nn.Module) -> nn.Module:
    """The detector without any quantizer, in eval mode."""
    twin = copy.deepcopy(model)
    for module in twin.modules():
        if isinstance(module, QuantLayer):
            module.quantizer = None
            module.set_input_quantizer(None)
    return twin.eval()


def _scaled(value: Any, factor: float) -> Any:
    return [each * factor for each in value] if isinstance(value, list) else value * factor
