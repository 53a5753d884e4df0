"""Training from a config: MMDetection's ``tools/train.py`` with its mistakes caught early."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import RUNNERS
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config
from mmengine.runner import Runner

from lbwdet.checkpoints import check_fit, latest_checkpoint, read_checkpoint
from lbwdet.configs import add_import, class_name, default_work_dir, load_config
from lbwdet.datasets.check import check_data
from lbwdet.datasets.classes import check_classes, join_metainfo
from lbwdet.datasets.odd_images import name_odd_images
from lbwdet.errors import CheckpointError, ConfigError, LBWError
from lbwdet.layers import activation_keys
from lbwdet.training import atomic_backend
from lbwdet.training.build import build_model
from lbwdet.training.cpu_distributed import join_cpu_processes
from lbwdet.training.scheme_hook import check_same_scheme, configured_scheme


def train(
    config: str | Path,
    work_dir: str | None = None,
    resume: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    cfg_options: Mapping[str, Any] | None = None,
    data_root: str | None = None,
    launcher: str = "none",
    partial: bool = False,
) -> Runner:
    """Trains a detector; everything that can be wrong is looked at before anything is written.

    Args:
        config: an MMDetection config file.
        work_dir: where logs and checkpoints go; ``work_dirs/<config name>`` by default.
        resume: a checkpoint to go on from, or ``'auto'`` for the latest in ``work_dir``.
        amp: train in mixed precision (float16 on a GPU, bfloat16 on a CPU).
        auto_scale_lr: scale the learning rate with the total batch size.
        cfg_options: dotted keys that override the config.
        data_root: overrides the root of every VOC-format data set.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        partial: load what fits of ``load_from`` instead of refusing a checkpoint
            that does not fit entirely.

    Raises:
        ConfigError, DataError, CheckpointError: as :class:`lbwdet.errors.LBWError`
            with a message for the user.
    """
    check_launcher(launcher)
    cfg = load_config(config, cfg_options, data_root)
    cfg.work_dir = work_dir or cfg.get("work_dir") or default_work_dir(config)
    if amp:
        _use_amp(cfg)
    if auto_scale_lr:
        _use_auto_scale_lr(cfg, config)
    if resume is not None:
        cfg.resume = True
        cfg.load_from = _resumed_checkpoint(resume, cfg.work_dir)
    _use_atomic_checkpoints(cfg)
    _add_hooks(cfg)
    check_data(cfg, _train_splits(cfg))
    try:
        check_model(cfg, partial)
    except CheckpointError as error:
        checkpoint = Path(cfg.load_from)
        if cfg.get("resume") or "://" in str(cfg.load_from) or checkpoint.is_file():
            raise
        hint = cfg.get("load_from_hint") or _how_to_train(checkpoint, Path(config))
        raise CheckpointError(
            "\n".join(
                (
                    str(error),
                    "This config starts from that checkpoint (load_from). Make it first:",
                    f"  {hint}",
                    "or name another one: --cfg-options load_from=PATH",
                )
            )
        ) from error

    runner = build_runner(cfg, _train_splits(cfg), launcher)
    try:
        runner.train()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise LBWError(
            f"{cfg.work_dir}: no space left on the disk. The previous checkpoint is intact: "
            "make room and go on with --resume."
        ) from error
    return runner


def build_runner(cfg: Config, splits: tuple[str, ...], launcher: str) -> Runner:
    """The runner of a config that was checked, over the data sets of these splits."""
    cfg.launcher = launcher
    join_metainfo(cfg, splits)
    join_cpu_processes(cfg)
    name_odd_images()
    setup_cache_size_limit_of_dynamo()
    return RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)


def _use_amp(cfg: Config) -> None:
    if torch.cuda.is_available():
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.loss_scale = "dynamic"
    else:
        cfg.optim_wrapper.type = "CPUAmpOptimWrapper"


def _use_auto_scale_lr(cfg: Config, config: str | Path) -> None:
    settings = cfg.get("auto_scale_lr") or {}
    if "base_batch_size" not in settings:
        raise ConfigError(
            f"{config}: --auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the "
            "config: the total batch size that its learning rate is for"
        )
    cfg.auto_scale_lr.enable = True


def _resumed_checkpoint(resume: str, work_dir: str) -> str:
    if resume != "auto":
        return resume
    checkpoint = latest_checkpoint(work_dir)
    if checkpoint is None:
        raise CheckpointError(
            f"--resume: no checkpoint in {os.path.abspath(work_dir)}; leave --resume out to "
            "start from the beginning, or name a checkpoint: --resume PATH"
        )
    return str(checkpoint)


def _use_atomic_checkpoints(cfg: Config) -> None:
    hook = (cfg.get("default_hooks") or {}).get("checkpoint")
    if hook is None:
        return
    if not hook.get("backend_args"):
        hook.backend_args = dict(backend=atomic_backend.NAME)
    if hook.get("max_keep_ckpts") == 1:
        # MMEngine removes the oldest before it writes the newest: with one there would be none.
        hook.max_keep_ckpts = 2


def _train_splits(cfg: Config) -> tuple[str, ...]:
    return ("train", "val") if cfg.get("val_cfg") else ("train",)


# Of every training.
_HOOKS = ("ActivationHook", "ProjectionHook", "QuantRecordHook", "ResumeHook")


def _add_hooks(cfg: Config) -> None:
    """What every training shall have; each does nothing where there is nothing to do."""
    hooks = [*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or [])]
    present = {class_name(hook["type"]) for hook in hooks if hook}
    if missing := [name for name in _HOOKS if name not in present]:
        added = [dict(type=f"mmdet.{name}") for name in missing]
        cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), *added]
        add_import(cfg, "lbwdet.training")


def check_launcher(launcher: str) -> None:
    """Raises ConfigError where the processes that ``launcher`` stands for were not started."""
    variable = dict(pytorch="RANK", slurm="SLURM_PROCID", mpi="OMPI_COMM_WORLD_LOCAL_RANK")
    if launcher != "none" and variable[launcher] not in os.environ:
        starter = dict(pytorch="torchrun --nproc_per_node=2", slurm="srun", mpi="mpirun -np 2")
        raise ConfigError(
            f"--launcher {launcher}: ${variable[launcher]} is not set; start the processes by "
            f"{starter[launcher]} tools/train.py ... --launcher {launcher}"
        )


def check_model(cfg: Config, partial: bool = False, splits: tuple[str, ...] = ()) -> None:
    """Builds the model once for its errors, and compares it with its data and ``load_from``.

    Args:
        cfg: with ``load_from`` and ``resume`` as they will be used.
        partial: the checkpoint may fit in part, and be of other classes.
        splits: whose data sets will be used; those of a training by default.

    Raises:
        ConfigError: it cannot be built, or is for other classes than its data sets.
        CheckpointError: the checkpoint cannot be read, does not fit, is for other classes, or
            is to be resumed by another scheme than it was trained by.
    """
    splits = splits or _train_splits(cfg)
    model = build_model(cfg)
    checkpoint = cfg.get("load_from")
    if not checkpoint:
        check_classes(cfg, model, splits)
    else:
        state, meta = read_checkpoint(checkpoint)
        if not partial:
            # Training starts from float activations by calibrating; it cannot go on from them.
            optional = () if cfg.get("resume") else activation_keys(model)
            check_fit(model, state, checkpoint, optional)
        check_classes(cfg, model, splits, {} if partial else meta, checkpoint)
        if cfg.get("resume"):
            if "config" in meta:
                raise CheckpointError(
                    f"{checkpoint}: cannot be resumed: its meta holds a config text, that MMEngine "
                    "would run as code; start a new training from the weights by load_from"
                )
            check_same_scheme(meta, configured_scheme(cfg), checkpoint)


def _how_to_train(checkpoint: Path, config: Path) -> str:
    """Runs are named after their configs."""
    maker = config.with_name(f"{checkpoint.parent.name}.py")
    return f"python tools/train.py {maker}" if maker.is_file() else "train that model"
