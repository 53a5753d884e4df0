"""The configs in MMDetection's wheel, and what of each decides how its model runs."""

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import mmdet

from lbwdet.configs import load_config
from lbwdet.errors import ConfigError

# Of the data preprocessor: images come in any normalisation, and augmented or not.
_PREPROCESSING = (
    "type",
    "pad_size_divisor",
    "pad_mask",
    "pad_seg",
    "mask_pad_value",
    "use_det_processor",
)
# How many proposals and boxes go through a head: as many take the same path as a few.
_AT_MOST = dict(max_per_img=50, nms_pre=200, num_proposals=50)
_SAMPLED = 32


def config_root() -> Path:
    """Where the installed MMDetection keeps its configs.

    Raises:
        ConfigError: it has none, as an installation from source.
    """
    root = Path(mmdet.__file__).parent / ".mim" / "configs"
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; install MMDetection's wheel, which has configs")
    return root


def shipped_configs(pattern: str = "*") -> list[str]:
    """Names (``family/config.py``) of the configs that build on a ``_base_``.

    Raises:
        ConfigError: no name matches the glob ``pattern``.
    """
    root = config_root()
    names = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "_base_" in path.read_text(encoding="utf-8")
    ]
    names = sorted(name for name in names if not name.startswith("_base_/"))
    chosen = [name for name in names if fnmatchcase(name, pattern)]
    if not chosen:
        raise ConfigError(f"--filter {pattern!r} matches none of {len(names)} configs in {root}")
    return chosen


def load_model(name: str) -> dict[str, Any]:
    """The model of one config, without what does not change how it runs on random weights.

    Pretrained weights go, and of the data preprocessor normalisation and augmentation;
    proposals become few.

    Raises:
        ConfigError: the file cannot be read as a config.
        KeyError: it has no model.
    """
    cfg = load_config(config_root() / name)
    model: dict[str, Any] = _reduced(cfg.model.to_dict())
    preprocessor = model.get("data_preprocessor")
    if preprocessor:
        model["data_preprocessor"] = _plain_preprocessor(preprocessor)
    return model


def digest(model: Mapping[str, Any]) -> str:
    """Equal for equal models."""
    return hashlib.sha256(repr(model).encode()).hexdigest()[:16]


def _reduced(value: Any) -> Any:
    """Without pretrained weights, and with few proposals."""
    if isinstance(value, dict):
        reduced = {key: _reduced_entry(key, entry) for key, entry in value.items()}
        if str(value.get("type", "")).endswith("Sampler") and isinstance(value.get("num"), int):
            reduced["num"] = min(value["num"], _SAMPLED)
        return reduced
    if isinstance(value, (list, tuple)):
        return type(value)(_reduced(entry) for entry in value)
    return value


def _reduced_entry(key: Any, value: Any) -> Any:
    if _names_a_checkpoint(key, value):
        return None
    if key in _AT_MOST and isinstance(value, int):
        return min(value, _AT_MOST[key])
    return _reduced(value)


def _names_a_checkpoint(key: Any, value: Any) -> bool:
    if key == "init_cfg" and isinstance(value, dict):
        return "checkpoint" in value
    return key == "pretrained" or str(key).endswith("_ckpt")


def _plain_preprocessor(preprocessor: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in preprocessor.items() if key in _PREPROCESSING}
    if isinstance(preprocessor.get("data_preprocessor"), dict):  # of several branches
        kept["data_preprocessor"] = _plain_preprocessor(preprocessor["data_preprocessor"])
    return kept
