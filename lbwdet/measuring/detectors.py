"""From a config and a checkpoint to a detector that is ready to be measured."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from lbwdet.checkpoints import LISTED_KEYS, check_fit, read_checkpoint
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
            model, or holds weights that are not finite.
        UncalibratedError: It was trained without the activation quantizers of the config.
        ConfigError: The config has no model, or one that cannot be built; or
            there is no such device.
    """
    model: Any = build_model(cfg)
    meta: Mapping[str, Any] = {}
    if checkpoint is not None:
        state, meta = read_checkpoint(checkpoint)
        _check_calibrated(model, state, checkpoint)
        check_fit(model, state, checkpoint)
        model.load_state_dict(state)
        _warn_other_quantization(meta, model, checkpoint)
    model.dataset_meta = dict(classes=class_names(cfg, meta))
    model.cfg = cfg
    try:
        detector: nn.Module = model.to(device).eval()
    except (RuntimeError, AssertionError) as error:  # of an unknown name, or no such hardware
        raise ConfigError(f"device {str(device)!r} cannot be used: {error}") from error
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


def class_names(cfg: Config, meta: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Class names from a checkpoint's ``meta``, or else from the config's test set."""
    for key, value in (meta or {}).get("dataset_meta", {}).items():
        if key.lower() == "classes":
            return tuple(value)
    dataset = test_dataset(cfg)
    if "classes" in (dataset.get("metainfo") or {}):
        return tuple(dataset["metainfo"]["classes"])
    dataset_class = DATASETS.get(dataset["type"])
    return tuple(getattr(dataset_class, "METAINFO", {}).get("classes", ()))


def test_dataset(cfg: Config) -> dict[str, Any]:
    """The settings of the test data set itself, inside wrappers such as ``ConcatDataset``."""
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
