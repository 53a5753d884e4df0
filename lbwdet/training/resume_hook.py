"""Says so where a training goes on by other steps than those its schedule counts."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

META_KEY = "lbwdet_steps"


@dataclasses.dataclass(frozen=True)
class Steps:
    """What a step of the optimizer, and an epoch, consist of.

    Attributes:
        batch_size: images of a process.
        processes: that train together.
        accumulated: batches whose gradients a step adds up.
        epoch_length: batches of a process in an epoch.
    """

    batch_size: int
    processes: int
    accumulated: int
    epoch_length: int

    def __str__(self) -> str:
        return (
            f"{self.processes} process{'es' if self.processes > 1 else ''} with "
            f"batch_size={self.batch_size}"
            + (f", {self.accumulated} batches a step" if self.accumulated > 1 else "")
            + f", {self.epoch_length} iterations an epoch"
        )


@HOOKS.register_module()
class ResumeHook(Hook):
    """Records in each checkpoint what a step consists of, and compares when it is resumed.

    Learning rates, warm-up and the milestones of a schedule are counted in iterations once
    the training runs; with another batch size or number of processes they fall elsewhere,
    and each step weighs differently. The training goes on, with a warning. In a
    checkpoint without the record, of MMDetection alone, the length of its epochs is compared.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        checkpoint["meta"][META_KEY] = dataclasses.asdict(steps_of(runner))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        if not runner._resume:
            return
        path, now, meta = str(runner._load_from), steps_of(runner), checkpoint.get("meta") or {}
        # An epoch has another number of iterations where the batch size is another.
        by_iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
        unit, last = ("iter", runner.max_iters) if by_iterations else ("epoch", runner.max_epochs)
        if meta.get(unit, 0) >= last:
            runner.logger.warning(
                f"{path}: has all {last} {unit}s of this config behind it, so that nothing is "
                f"left to train; give it more (train_cfg.max_{unit}s), or start a new training "
                "from these weights by load_from, with resume=False"
            )
        before = _recorded(meta, path, now)
        if before is not None and before != now:
            runner.logger.warning(
                f"{path}: was trained by {before}; it goes on by {now}. Learning rate and schedule "
                "are made for the former, and are off: resume with the same, or start a new "
                "training from these weights by load_from"
            )


def steps_of(runner: Runner) -> Steps:
    """What the runner's training consists of."""
    loader = runner.train_dataloader
    batch_size = getattr(loader.batch_sampler, "batch_size", loader.batch_size)
    accumulated = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
    return Steps(batch_size, runner.world_size, accumulated, len(loader))


def _recorded(meta: Mapping[str, Any], path: str, now: Steps) -> Steps | str | None:
    recorded = meta.get(META_KEY)
    if isinstance(recorded, Mapping) and recorded.keys() == dataclasses.asdict(now).keys():
        return Steps(**recorded)
    epochs, iterations = meta.get("epoch", 0), meta.get("iter", 0)
    # A checkpoint in the midst of an epoch has another name, and tells nothing.
    whole = epochs and Path(path).stem.startswith("epoch_")
    if not whole or iterations == epochs * now.epoch_length:
        return None
    return f"{iterations / epochs:g} iterations an epoch"
