"""From a config and a checkpoint to a detector that is ready to be measured."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from torch import nn

from lbwdet.checkpoints import LISTED_KEYS, check_fit, read_checkpoint
from lbwdet.errors import ConfigError
from lbwdet.layers import describe_quantization, quantize_


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
        ConfigError: The config has no model, or one that cannot be built.
    """
    register_scope(cfg)
    if "model" not in cfg:
        raise ConfigError(f"{cfg.filename}: no 'model' in this config; name a detector config")
    model: nn.Module = MODELS.build(cfg.model)
    for quant in hook_quant_settings(cfg):
        quantize_(model, **quant)

    meta: Mapping[str, Any] = {}
    if checkpoint is not None:
        state, meta = read_checkpoint(checkpoint)
        check_fit(model, state, checkpoint)
        model.load_state_dict(state)
        _warn_other_quantization(meta, model, checkpoint)
    model.dataset_meta = dict(classes=class_names(cfg, meta))
    model.cfg = cfg
    return model.to(device).eval()


def register_scope(cfg: Config) -> None:
    """Makes the types that ``cfg`` names known: mmdet's, and those of its ``custom_imports``."""
    register_all_modules(init_default_scope=False)
    init_default_scope(cfg.get("default_scope", "mmdet"))
    if cfg.get("custom_imports"):
        import_modules_from_strings(**cfg.custom_imports)


def hook_quant_settings(cfg: Config) -> list[dict[str, Any]]:
    """The ``quant`` settings of every ``QuantizeHook`` in ``cfg.custom_hooks``."""
    return [
        dict(hook.get("quant", {}))
        for hook in cfg.get("custom_hooks") or []
        if str(hook["type"]).rpartition(".")[2] == "QuantizeHook"
    ]


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
