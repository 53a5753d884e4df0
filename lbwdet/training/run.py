"""Training from a config: MMDetection's ``tools/train.py`` with its mistakes caught early."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS, RUNNERS
from mmdet.utils import register_all_modules, setup_cache_size_limit_of_dynamo
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.utils import import_modules_from_strings

from lbwdet.checkpoints import check_fit, read_checkpoint
from lbwdet.configs import default_work_dir, load_config
from lbwdet.datasets.check import check_data, set_data_root
from lbwdet.errors import CheckpointError, ConfigError, LBWError
from lbwdet.training import atomic_backend


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
    cfg = load_config(config, cfg_options)
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get("work_dir") or default_work_dir(config)
    if data_root:
        set_data_root(cfg, data_root)
    if amp:
        _use_amp(cfg)
    if auto_scale_lr:
        _use_auto_scale_lr(cfg, config)
    if resume is not None:
        cfg.resume = True
        cfg.load_from = _resumed_checkpoint(resume, cfg.work_dir)
    _use_atomic_checkpoints(cfg)
    check_data(cfg, splits=("train", "val") if cfg.get("val_cfg") else ("train",))
    check_model(cfg, partial)

    setup_cache_size_limit_of_dynamo()
    runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
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
        checkpoint: str | None = resume
    else:
        checkpoint = find_latest_checkpoint(work_dir) if os.path.isdir(work_dir) else None
        if checkpoint is None:
            raise CheckpointError(
                f"--resume: no checkpoint in {os.path.abspath(work_dir)}; leave --resume out to "
                "start from the beginning, or name a checkpoint: --resume PATH"
            )
    read_checkpoint(checkpoint)
    return checkpoint


def _use_atomic_checkpoints(cfg: Config) -> None:
    hook = (cfg.get("default_hooks") or {}).get("checkpoint")
    if hook is not None and not hook.get("backend_args"):
        hook.backend_args = dict(backend=atomic_backend.NAME)


def check_model(cfg: Config, partial: bool = False) -> None:
    """Builds the model once for its errors, and compares it with ``load_from``.

    Raises:
        ConfigError, CheckpointError: see :func:`train`.
    """
    register_all_modules(init_default_scope=False)
    init_default_scope(cfg.get("default_scope", "mmdet"))
    if cfg.get("custom_imports"):
        import_modules_from_strings(**cfg.custom_imports)
    model = MODELS.build(cfg.model)
    checkpoint = cfg.get("load_from")
    if checkpoint and "://" not in str(checkpoint):
        try:
            state, _ = read_checkpoint(checkpoint)
            if not partial:
                check_fit(model, state, checkpoint)
        except CheckpointError as error:
            hint = (
                "\nThis config starts from that checkpoint (load_from). Train the config that "
                "makes it first, or name another one: --cfg-options load_from=PATH"
                if not os.path.isfile(checkpoint)
                else "\nTo load what fits and leave the rest as initialised, add --partial."
            )
            raise CheckpointError(f"{error}{hint}") from error
