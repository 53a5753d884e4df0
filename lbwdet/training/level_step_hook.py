"""Steps of an optimizer, counted in levels."""

from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.optim import Optimizer

from lbwdet.errors import ConfigError
from lbwdet.layers import QuantLayer, quantized_layers
from lbwdet.quantizers.gaps import weight_gaps
from lbwdet.training.bare_model import bare_model

_TINY = 1e-30


@HOOKS.register_module()
class LevelStepHook(Hook):
    """Lets the optimizer move every parameter at the same pace, in the unit it counts in.

    A low-bit weight counts in levels, another parameter in its root mean square. Where
    ``u`` is that unit, the optimizer sees ``v = w / u`` in the place of ``w``, and a gradient
    whose root mean square over the tensor is 1:

        g = u dL/dw / rms(u dL/dw),    w <- w + u * (what the optimizer adds to v).

    Weights of detectors are decades apart from layer to layer, channel to channel and level
    to level. A step that is right for one of them never takes another to its next level, or
    takes it there at once. Normalised over the tensor and not entry by entry as in Adam, a
    step first moves those weights that the loss asks for most.

    To be used with SGD and momentum, whose ``lr / (1 - momentum)`` then is the pace of a
    steady gradient, in levels per step; or, where levels stay, with Adam, whose ``lr`` then is
    the pace of every entry. Weight decay has no meaning beside it.

    Args:
        levels: pace of low-bit weights relative to the learning rate; 0 keeps their levels, and
            saves the time for their gradients.
        reals: that of all others.
    """

    def __init__(self, levels: float = 1.0, reals: float = 1.0) -> None:
        if min(levels, reals) < 0:
            raise ConfigError(f"LevelStepHook: levels={levels}, reals={reals}; use 0 or more")
        self.levels, self.reals = levels, reals
        self._layers: dict[int, QuantLayer] = {}
        self._before: list[tuple[Tensor, Tensor, Tensor]] = []
        self._handles: list[Any] = []

    def before_train(self, runner: Runner) -> None:
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):
            raise ConfigError("LevelStepHook: several optimizers are not supported; use one")
        self._layers = {id(layer.weight): layer for layer in _low_bit(bare_model(runner))}
        # Distributed training, which has wrapped the model already, waits for all their gradients.
        if self.levels == 0 and not is_model_wrapper(runner.model):
            for layer in self._layers.values():
                layer.weight.requires_grad_(False)
        self._handles = [
            wrapper.optimizer.register_step_pre_hook(self._into_units),
            wrapper.optimizer.register_step_post_hook(self._out_of_units),
        ]

    def after_train(self, runner: Runner) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @torch.no_grad()
    def _into_units(self, optimizer: Optimizer, *_: Any) -> None:
        self._before = []
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    unit = self._unit(parameter)
                    self._before.append((parameter, parameter.clone(), unit))
                    parameter.grad.mul_(unit)
                    parameter.grad.div_(_rms(parameter.grad).clamp(min=_TINY))

    @torch.no_grad()
    def _out_of_units(self, optimizer: Optimizer, *_: Any) -> None:
        for parameter, before, unit in self._before:
            pace = self.levels if id(parameter) in self._layers else self.reals
            parameter.sub_(before).mul_(unit * pace).add_(before)
        self._before = []

    def _unit(self, parameter: Tensor) -> Tensor:
        layer = self._layers.get(id(parameter))
        if layer is None:
            size = _rms(parameter)
            return torch.where(size > 0, size, 1.0)
        return layer.in_ones(weight_gaps(layer.quantized_weight())).to(parameter.dtype)


def _low_bit(model: Any) -> list[QuantLayer]:
    return [layer for layer in quantized_layers(model).values() if layer.quantizer is not None]


def _rms(tensor: Tensor) -> Tensor:
    return tensor.square().mean().sqrt()
