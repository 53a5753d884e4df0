"""From a config and a checkpoint to a detector that is ready to be measured."""

import copy
import logging
import pickle
import zipfile
from collections.abc import Mapping, Sequence
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

from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.layers import describe_quantization, quantize_

LISTED_KEYS = 8


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
    model = MODELS.build(cfg.model)
    for quant in hook_quant_settings(cfg):
        quantize_(model, **quant)

    meta: Mapping[str, Any] = {}
    if checkpoint is not None:
        state, meta = read_checkpoint(checkpoint)
        _load_state(model, state, checkpoint)
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
    dataset = copy.deepcopy(cfg.test_dataloader.dataset)
    while "dataset" in dataset or "datasets" in dataset:
        dataset = dataset.get("dataset") or dataset["datasets"][0]
    if "classes" in (dataset.get("metainfo") or {}):
        return tuple(dataset.metainfo["classes"])
    dataset_class = DATASETS.get(dataset["type"])
    return tuple(getattr(dataset_class, "METAINFO", {}).get("classes", ()))


def read_checkpoint(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads weights and ``meta`` without unpickling arbitrary code.

    Raises:
        CheckpointError: The file is missing, unreadable or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        beside = sorted(entry.name for entry in path.parent.glob("*.pth"))
        hint = f"; this folder has {', '.join(beside[:LISTED_KEYS])}" if beside else ""
        raise CheckpointError(f"{path}: no such checkpoint{hint}")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path}: the checkpoint is empty (0 bytes); train or copy it again")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or one with Python objects in it that are refused because "
            f"unpickling them could run code ({str(error).splitlines()[0]})"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path}: the checkpoint is truncated or corrupt ({path.stat().st_size:,} bytes; "
            f"{str(error).splitlines()[0]}); copy it again or use an earlier one"
        ) from error
    state = checkpoint
    meta: dict[str, Any] = {}
    if isinstance(checkpoint, Mapping) and "state_dict" in checkpoint:
        state, meta = checkpoint["state_dict"], checkpoint.get("meta") or {}
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path}: holds no weights (no 'state_dict')")
    not_tensors = sorted(str(key) for key, value in state.items() if not torch.is_tensor(value))
    if not_tensors:
        raise CheckpointError(
            f"{path}: holds no state dict: {_listed(not_tensors)} are not tensors"
        )
    # Distributed wrappers put "module." in front of every key.
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state), meta


def _load_state(model: nn.Module, state: dict[str, torch.Tensor], path: str | Path) -> None:
    own = model.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    mismatched = [
        f"{key} (checkpoint {tuple(state[key].shape)}, model {tuple(own[key].shape)})"
        for key in sorted(own.keys() & state.keys())
        if state[key].shape != own[key].shape
    ]
    problems = [
        f"{len(keys)} {kind}: {_listed(keys)}"
        for kind, keys in (
            ("missing from the checkpoint", missing),
            ("unknown to the model", unexpected),
            ("of another shape", mismatched),
        )
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{path}: does not fit the model of the config ({len(own)} keys):\n  "
            + "\n  ".join(problems)
            + "\nUse the config that the checkpoint was trained with."
        )
    # A NaN weight gives NaN scores, which NMS drops: the detector would seem to see nothing.
    damaged = sorted(
        key
        for key, value in state.items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    )
    if damaged:
        raise CheckpointError(
            f"{path}: NaN or infinite values in {_listed(damaged)}; the training diverged, "
            "use an earlier checkpoint"
        )
    model.load_state_dict(state)


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
            + _listed(changed),
            logger="current",
            level=logging.WARNING,
        )


def _listed(keys: Sequence[str]) -> str:
    more = f", and {len(keys) - LISTED_KEYS} more" if len(keys) > LISTED_KEYS else ""
    return ", ".join(keys[:LISTED_KEYS]) + more
