"""What quantized activations need of a training: calibration, and an optimizer for alpha."""

import functools
import itertools
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import nn

from lbwdet.errors import ConfigError
from lbwdet.layers import InputQuantizer, calibration, input_quantizers, limit_resolutions
from lbwdet.training.bare_model import bare_model
from lbwdet.training.resume_hook import steps_of


@HOOKS.register_module()
class ActivationHook(Hook):
    """Calibrates the activation quantizers of a model and keeps their resolutions in order.

    - Before the first iteration, batches of the training set run through the model
      (weights quantized, activations float, batch norm as in training but without
      memory of it), and every quantizer takes the resolution with the least squared
      error. A checkpoint that was trained with quantized activations brings its own.
    - The resolutions ``alpha`` get a parameter group of their own without weight decay,
      scheduled like the first group of the common rate, however the model was quantized. Their
      gradient comes slowed down, see :class:`~lbwdet.layers.InputQuantizer`; for
      optimizers that undo this (Adam) there is ``lr_mult``.
    - After each step they are kept within a factor of 8 of where they started.

    Without quantized activations the hook does nothing.

    Args:
        num_batches: of the training set, for calibration.
        lr_mult: learning rate of ``alpha`` relative to that group.
    """

    # After QuantizeHook made the quantizers, before EMAHook copies the model.
    priority = "HIGH"

    def __init__(self, num_batches: int = 4, lr_mult: float = 1.0) -> None:
        if num_batches < 1:
            raise ConfigError(f"ActivationHook: num_batches={num_batches!r}; use 1 or more")
        self.num_batches = num_batches
        self.lr_mult = lr_mult
        self._quantizers: list[InputQuantizer] = []
        self._at_limit: set[str] = set()

    def before_run(self, runner: Runner) -> None:
        self._quantizers = list(input_quantizers(bare_model(runner)).values())
        wrapper = runner.optim_wrapper
        if not self._quantizers or isinstance(wrapper, dict) or wrapper is None:
            return  # nothing to do, or no training
        if isinstance(wrapper, OptimWrapperDict):
            raise ConfigError("quantized activations cannot be trained by several optimizers yet")
        self._group_resolutions(wrapper, runner.param_schedulers or [], _common_rate(runner))
        if dist.get_world_size() > 1:
            self._average_before_steps(wrapper)

    def before_train(self, runner: Runner) -> None:
        # A resumed training must not change what it was trained with.
        if runner.iter == 0 and not all(q.is_calibrated for q in self._quantizers):
            self._calibrate(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        scaler = getattr(runner.optim_wrapper, "loss_scaler", None)
        if scaler is not None:
            for quantizer in self._quantizers:
                quantizer.gradient_limit = scaler.get_scale()

    def after_train_iter(self, runner: Runner, batch_idx: int, **kwargs: Any) -> None:
        beyond = set(limit_resolutions(bare_model(runner))) if self._quantizers else set()
        if new := sorted(beyond - self._at_limit):
            self._at_limit |= beyond
            runner.logger.warning(
                f"activation resolution of {', '.join(new)} is 8 times larger or smaller than "
                "calibration found it, and is kept there: the training may be diverging, or "
                "its start was far from its end; calibrate at weights that are nearer to it"
            )

    def _group_resolutions(
        self, wrapper: OptimWrapper, schedulers: list[Any], common: float
    ) -> None:
        optimizer = wrapper.optimizer
        alphas = [q.alpha for q in self._quantizers if q.alpha.requires_grad]
        moved = {id(alpha) for alpha in alphas}
        for group in optimizer.param_groups:
            group["params"] = [p for p in group["params"] if id(p) not in moved]
        if not alphas:
            return
        # Where layers have rates of their own, that of the first may be far from the common one.
        rates = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
        like = rates.index(common) if common in rates else 0
        settings = {k: v for k, v in optimizer.param_groups[like].items() if k != "params"}
        for key in ("lr", "initial_lr", "max_lr", "min_lr"):
            if key in settings:
                settings[key] *= self.lr_mult
        optimizer.add_param_group({**settings, "params": alphas, "weight_decay": 0.0})
        # Where there are several groups, MMEngine counts one more behind them, which it logs.
        for scheduler in schedulers:
            mult = self.lr_mult if scheduler.param_name == "lr" else 1.0
            for key in ("base_values", "min_values"):
                if values := getattr(scheduler, key, None):
                    values.insert(len(rates), mult * values[like])

    @torch.no_grad()
    def _calibrate(self, runner: Runner) -> None:
        model = bare_model(runner)
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        model.train()
        with calibration(model, again=False):
            for data in itertools.islice(runner.train_dataloader, self.num_batches):
                data = model.data_preprocessor(data, True)
                model(**data, mode="loss")
        own = {id(buffer) for q in self._quantizers for buffer in q.buffers()}
        for name, buffer in model.named_buffers():
            if id(buffer) not in own:
                buffer.copy_(buffers[name])
        for quantizer in self._quantizers:  # every rank saw other images
            for tensor in (quantizer.alpha.data, *quantizer.buffers()):
                dist.broadcast(tensor)
        _report(runner, model)

    def _average_before_steps(self, wrapper: OptimWrapper) -> None:
        """Before gradients are clipped, by their norm, which all ranks must agree on."""
        step = wrapper.step

        @functools.wraps(step)
        def averaged_step(**kwargs: Any) -> None:
            self._average_gradients()
            step(**kwargs)

        wrapper.step = averaged_step

    def _average_gradients(self) -> None:
        """Distributed training does not know parameters that were made after it wrapped the model;
        where it does, averaging equal numbers changes nothing."""
        for alpha in (q.alpha for q in self._quantizers if q.alpha.requires_grad):
            if alpha.grad is None:
                alpha.grad = torch.zeros_like(alpha)
            dist.all_reduce(alpha.grad, op="mean")


def _common_rate(runner: Runner) -> float:
    """The learning rate that the config names, scaled as the Runner scales it."""
    rate: float = runner.optim_wrapper.optimizer.defaults["lr"]
    scaling = runner.auto_scale_lr or {}
    if scaling.get("enable", False):
        steps = steps_of(runner)
        rate *= float(steps.batch_size * steps.processes) / float(scaling["base_batch_size"])
    return rate


def _report(runner: Runner, model: nn.Module) -> None:
    quantizers = input_quantizers(model).values()
    unseen = [q.name() for q in quantizers if not q.is_calibrated]
    signed = sum(q.signed for q in quantizers)
    runner.logger.info(
        f"ActivationHook: {len(quantizers) - len(unseen)} activation quantizers calibrated, "
        f"{signed} of them for inputs of both signs"
    )
    if unseen:
        runner.logger.warning(f"no data for the activation quantizers of {', '.join(unseen)}")
