"""Training towards the outputs of the float detector, in the place of labels."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn import functional as F

from lbwdet.checkpoints import check_fit, read_checkpoint
from lbwdet.errors import ConfigError
from lbwdet.layers import QuantLayer
from lbwdet.training.bare_model import bare_model

_BOXES, _HUBER = 5.0, 0.5

Outputs = Sequence[Sequence[Tensor]]


@HOOKS.register_module()
class TeacherHook(Hook):
    """Trains a detector towards what its float version gives for the same images.

    Labels tell a network of a few boxes per image, and of a few hundred images little that
    their float version does not know better; its outputs tell every position of every map,
    and are reached when nothing of the float detector is lost. Any augmentation will do,
    since both see the same pixels. The loss is :func:`output_distance`.

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
            with torch.no_grad():
                goal = floating(inputs, mode="tensor")
            losses = dict(loss_teacher=output_distance(model(inputs, mode="tensor"), goal))
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


def output_distance(outputs: Outputs, goal: Outputs) -> Tensor:
    """How far a dense head's maps are from those of the float one, where those see objects.

    With objectness ``o``, classes ``c`` and boxes ``b`` at each position, those of the goal
    with a dash, and ``w = sigmoid o'``:

        sum KL(sigmoid o' | sigmoid o) + w KL(sigmoid c' | sigmoid c) + 5 w huber(b - b'),

    divided by ``sum w``, which is about the number of positions with an object. 0 at the
    goal.

    Args:
        outputs, goal: lists of maps [N, C, H, W], one per scale: classes, boxes, objectness.

    Raises:
        ConfigError: they are no such three lists.
    """
    if len(outputs) != 3 or any(isinstance(maps, Tensor) for maps in outputs):
        raise ConfigError(
            "TeacherHook: is for heads that give classes, boxes and objectness (YOLOX); this "
            "detector's head gives something else; train it with its labels, without the hook"
        )
    (classes, boxes, objects), (of_classes, of_boxes, of_objects) = (
        map(_flat, outputs),
        map(_flat, goal),
    )
    seen = of_objects.sigmoid()
    total = _divergence(objects, of_objects).sum()
    total = total + (seen * _divergence(classes, of_classes)).sum()
    box = F.huber_loss(boxes, of_boxes, reduction="none", delta=_HUBER)
    return (total + _BOXES * (seen * box).sum()) / seen.sum().clamp(min=1.0)


def _flat(maps: Sequence[Tensor]) -> Tensor:
    """[N, C, positions of all scales]."""
    return torch.cat([each.flatten(2) for each in maps], 2)


def _divergence(logits: Tensor, of_logits: Tensor) -> Tensor:
    """Of two coins: cross-entropy without the entropy of the goal."""
    share = of_logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits
    return cross(logits, share, reduction="none") - cross(of_logits, share, reduction="none")


def _scaled(value: Any, factor: float) -> Any:
    return [each * factor for each in value] if isinstance(value, list) else value * factor
