"""From a config and a checkpoint to a detector that is ready to be measured."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from lbwdet.checkpoints import LISTED_KEYS, check_fit, read_checkpoint
from lbwdet.datasets.classes import check_classes
from lbwdet.errors import ConfigError
from lbwdet.layers import UncalibratedError, activation_keys, describe_quantization
from lbwdet.training.build import build_model


def build_detector(
    cfg: Config, checkpoint: str | Path | None = None, device: str | torch.device = "cpu"
) -> nn.Module:
    """Builds ``cfg.model`` in eval mode, quantized as the config says, with the checkpoint loaded.

    Args:
        cfg: A detector config. Every ``QuantizeHook`` in its ``custom_hooks``
            is applied, as the hook does before training.
        checkpoint: File written by training, or a bare state dict. None keeps
            the random initial weights.
        device: Where the detector shall run.

    Returns:
        The detector, with ``dataset_meta['classes']`` and ``cfg`` set.

    Raises:
        CheckpointError: The file is missing, unreadable, does not fit the
            model, was trained on other classes than the config tests, or holds weights
            that are not finite.
        UncalibratedError: It was trained without the activation quantizers of the config.
        ConfigError: The config has no model, or one that cannot be built; its heads do not
            fit its classes; or there is no such device.
    """
    model: Any = build_model(cfg)
    meta: Mapping[str, Any] = {}
    if checkpoint is not None:
        state, meta = read_checkpoint(checkpoint)
        _check_calibrated(model, state, checkpoint)
        check_fit(model, state, checkpoint)
        model.load_state_dict(state)
        _warn_other_quantization(meta, model, checkpoint)
    model.dataset_meta = dict(classes=check_classes(cfg, model, ("test",), meta, checkpoint))
    model.cfg = cfg
    try:
        detector: nn.Module = model.to(device)
    except (RuntimeError, AssertionError) as error:  # of an unknown name, or no such hardware
        raise ConfigError(f"device {str(device)!r} cannot be used: {error}") from error
    detector.eval()  # which of some detectors returns nothing
    return detector


def _check_calibrated(
    model: nn.Module, state: Mapping[str, torch.Tensor], path: str | Path
) -> None:
    missing = model.state_dict().keys() - state.keys()
    if missing and missing <= activation_keys(model):
        raise UncalibratedError(
            f"{path}: holds none of the activation quantizers that the config asks for, or not "
            "all: they have seen no data. Train from it (lbwdet train CONFIG --cfg-options "
            f"load_from='{path}'), which calibrates them first, or use a config without "
            "activation settings."
        )


def test_dataset(cfg: Config) -> dict[str, Any]:
    """The settings of the test data set itself, inside wrappers such as ``ConcatDataset``.

    Raises:
        ConfigError: the config has none.
    """
    if not cfg.get("test_dataloader"):
        raise ConfigError(
            f"{cfg.filename}: has no test_dataloader, whose pipeline says how images are read"
        )
    dataset: dict[str, Any] = cfg.test_dataloader.dataset
    while "dataset" in dataset or "datasets" in dataset:
        dataset = dataset.get("dataset") or dataset["datasets"][0]
    return dataset


def _warn_other_quantization(meta: Mapping[str, Any], model: nn.Module, path: str | Path) -> None:
    """Says so when weights that were trained at one quantization run at another."""
    if "quant" not in (meta.get("lbwdet") or {}):
        return
    trained, asked = meta["lbwdet"]["quant"], describe_quantization(model)
    changed = [
        f"{name} ({trained.get(name, 'float')}, now {asked.get(name, 'float')})"
        for name in sorted(trained.keys() | asked.keys())
        if trained.get(name) != asked.get(name)
    ]
    if changed:
        print_log(
            f"{path}: {len(changed)} {'layer was' if len(changed) == 1 else 'layers were'} trained "
            "at another quantization than the config asks for; measuring what the config asks for: "
            f"{', '.join(changed[:LISTED_KEYS])}{', ...' if len(changed) > LISTED_KEYS else ''}",
            logger="current",
            level=logging.WARNING,
        )
