"""Applies a training scheme."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from lbwdet.configs import class_name
from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.layers import QuantLayer, quantized_layers
from lbwdet.training.bare_model import bare_model
from lbwdet.training.schemes import Projection, blend_, build_scheme, describe_scheme

SMALL_JUMP = 100.0  # lambda before the second phase of BinaryRelax
META_KEY = "lbwdet_scheme"
CLOCK_KEY = "lbwdet_scheme_clock"


@HOOKS.register_module()
class SchemeHook(Hook):
    """Trains the quantized layers by a scheme of :mod:`lbwdet.training.schemes`.

    BCGD's blend happens right before the optimizer itself steps: with gradient
    accumulation only when it does, and not in steps that a loss scaler skips. Weights
    without a gradient are left alone. BinaryRelax's lambda follows from the iteration,
    so that a resumed training goes on exactly; resuming with another scheme, or at another
    lambda because epochs have another length or number, is an error. Evaluation uses the
    projected weights throughout.

    Args:
        scheme: ``dict(type='bcgd', rho=1e-5)``, ``dict(type='binary_relax', ...)`` or
            ``dict(type='projection')``.
    """

    priority = "ABOVE_NORMAL"

    def __init__(self, scheme: Mapping[str, Any]) -> None:
        self.scheme = build_scheme(**scheme)
        self._layers: list[QuantLayer] = []
        self._handles: list[Any] = []
        self._epoch_length = 0
        self._clock: dict[str, int] | None = None  # of the training that is resumed

    def before_train(self, runner: Runner) -> None:
        self._layers = list(quantized_layers(bare_model(runner)).values())
        if not self._layers:
            raise ConfigError(
                f"SchemeHook: {self.scheme.type!r} is for quantized weights, and the model has "
                "none; give it quant settings, or remove the hook"
            )
        self._epoch_length = len(runner.train_dataloader)
        if self._clock is not None:
            self._check_clock(runner, self._clock)
        self._warn_of_jump(runner)
        if self.scheme.rho > 0:
            wrapper = runner.optim_wrapper
            several = isinstance(wrapper, OptimWrapperDict)
            for each in wrapper.values() if several else [wrapper]:
                self._handles.append(each.optimizer.register_step_pre_hook(self._blend))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        relax = self.scheme.relax(runner.iter, self._epoch_length, runner.max_iters)
        for layer in self._layers:
            layer.relax = relax

    def after_train(self, runner: Runner) -> None:
        for layer in self._layers:
            layer.relax = math.inf
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        checkpoint["meta"][META_KEY] = describe_scheme(self.scheme)
        checkpoint["meta"][CLOCK_KEY] = self._time(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        if runner._resume:
            meta = checkpoint.get("meta") or {}
            check_same_scheme(meta, self.scheme, runner._load_from or "")
            clock = meta.get(CLOCK_KEY)
            if isinstance(clock, Mapping) and set(clock) == {"epoch_length", "max_iters"}:
                self._clock = dict(clock)

    def _time(self, runner: Runner) -> dict[str, int]:
        return dict(epoch_length=self._epoch_length, max_iters=runner.max_iters)

    def _check_clock(self, runner: Runner, before: dict[str, int]) -> None:
        now = self._time(runner)
        was, here = (self.scheme.relax(runner.iter, **clock) for clock in (before, now))
        if was != here:
            raise CheckpointError(
                f"{runner._load_from}: after iteration {runner.iter} its training had lambda "
                f"{was:.4g} (epochs of {before['epoch_length']} iterations, "
                f"{before['max_iters']} in all); with this config it would go on at {here:.4g} "
                f"({now['epoch_length']}, {now['max_iters']}). Resume with the same batch size and "
                "number of epochs, or start a new training from these weights by load_from."
            )

    def _blend(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        skipped = getattr(optimizer, "found_inf", None)  # a loss scaler tells fused optimizers
        if skipped is not None and skipped.item() > 0:
            return
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for layer in self._layers:
            if layer.weight.grad is not None and id(layer.weight) in mine:
                mine.discard(id(layer.weight))  # two layers may share it
                quantized = layer.in_ones(layer.quantized_weight().dequantize())
                blend_(layer.weight, quantized.to(layer.weight.dtype), self.scheme.rho)

    def _warn_of_jump(self, runner: Runner) -> None:
        """Says so if BinaryRelax will leave the float weights in one leap."""
        length, total = self._epoch_length, runner.max_iters
        values = [self.scheme.relax(iteration, length, total) for iteration in range(total)]
        last = max((value for value in values if value < math.inf), default=math.inf)
        if last < SMALL_JUMP:
            runner.logger.warning(
                f"SchemeHook: lambda reaches only {last:.3g} before the weights are switched to "
                "their projection, which is a leap. With a larger growth or a smaller interval "
                "it reaches hundreds."
            )


def configured_scheme(cfg: Config) -> Projection:
    """The scheme of the ``SchemeHook`` in ``cfg.custom_hooks``, by default the projection."""
    for hook in cfg.get("custom_hooks") or []:
        if class_name(hook["type"]) == "SchemeHook":
            return build_scheme(**hook["scheme"])
    return Projection()


def check_same_scheme(meta: Mapping[str, Any], scheme: Projection, path: str | Path) -> None:
    """Raises CheckpointError unless a training of ``scheme`` wrote the checkpoint with ``meta``."""
    try:
        before = build_scheme(**meta.get(META_KEY, {}))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: what it says of its scheme cannot be: {error}") from error
    if before != scheme:
        raise CheckpointError(
            f"{path}: was trained by the scheme {before}, but the config says {scheme}. A "
            "scheme cannot be switched in the midst of a training: resume with the former, or "
            "start a new training from these weights by load_from instead of resume."
        )
