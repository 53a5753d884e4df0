"""The configs in MMDetection's wheel, and what of each decides how its model runs."""

import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import mmdet

from lbwdet.configs import load_config
from lbwdet.deploy.lower.preprocess import single_images
from lbwdet.errors import ConfigError
from lbwdet.measuring.detectors import test_dataset

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
# Deployed, each box is predicted eight times: in reals, by both engines, by PyTorch.
_DEPLOYED_AT_MOST = _AT_MOST | dict(max_per_img=20, num_proposals=20)
_SAMPLED = 32
_NO_PARTS = ("train_cfg", "test_cfg", "init_cfg", "data_preprocessor")
# What deployment adds: images are normalized, if they are, in one way, and are small.
_NORMALIZED = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
_UNSEEN = ("backend_args", "file_client_args", "meta_keys")  # settings that no pixel depends on
_MULTIPLE = 32


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
    model: dict[str, Any] = _reduced(load_config(config_root() / name).model.to_dict(), _AT_MOST)
    if preprocessor := model.get("data_preprocessor"):
        model["data_preprocessor"] = _plain(preprocessor)
    return model


def load_deployed(name: str, size: int) -> dict[str, Any]:
    """The model of one config and its test pipeline, as it decides what is deployed.

    As :func:`load_model`, but images are normalized, all that are in the same way; and what the
    pipeline resizes and pads to becomes small, with sides of the same proportions.

    Args:
        name: ``family/config.py``.
        size: the longer side of images in pixels.

    Returns:
        ``dict(model=..., pipeline=...)``; the pipeline is empty where the config has none.

    Raises:
        ConfigError, KeyError, AttributeError: as :func:`load_model`.
    """
    cfg = load_config(config_root() / name)
    model: dict[str, Any] = _reduced(cfg.model.to_dict(), _DEPLOYED_AT_MOST)
    model["data_preprocessor"] = _plain(model.get("data_preprocessor") or {}, deployed=True)
    try:
        steps = [dict(step) for step in test_dataset(cfg)["pipeline"]]
    except (AttributeError, ConfigError, KeyError, TypeError):
        steps = []
    return dict(model=model, pipeline=_small(single_images(steps), size))


def digest(model: Mapping[str, Any]) -> str:
    """Equal for equal models."""
    return hashlib.sha256(repr(model).encode()).hexdigest()[:16]


def parts_of(model: Any) -> set[str]:
    """Names of all classes that a model's config names, but for those that training alone needs."""
    if isinstance(model, Mapping):
        kind = model.get("type")
        found = {kind} if isinstance(kind, str) else set()
        return found.union(*(parts_of(part) for key, part in model.items() if _is_part(str(key))))
    if isinstance(model, list | tuple):
        return set().union(*map(parts_of, model))
    return set()


def _is_part(key: str) -> bool:
    return key not in _NO_PARTS and not key.startswith("loss")


def _reduced(value: Any, at_most: Mapping[str, int]) -> Any:
    """Without pretrained weights, and with few proposals."""
    if isinstance(value, dict):
        reduced = {key: _reduced_entry(key, entry, at_most) for key, entry in value.items()}
        if str(value.get("type", "")).endswith("Sampler") and isinstance(value.get("num"), int):
            reduced["num"] = min(value["num"], _SAMPLED)
        return reduced
    if isinstance(value, (list, tuple)):
        return type(value)(_reduced(entry, at_most) for entry in value)
    return value


def _reduced_entry(key: Any, value: Any, at_most: Mapping[str, int]) -> Any:
    if _names_a_checkpoint(key, value):
        return None
    if key in at_most and isinstance(value, int):
        return min(value, at_most[key])
    return _reduced(value, at_most)


def _names_a_checkpoint(key: Any, value: Any) -> bool:
    if key == "init_cfg" and isinstance(value, dict):
        return "checkpoint" in value
    return key == "pretrained" or str(key).endswith("_ckpt")


def _plain(preprocessor: dict[str, Any], deployed: bool = False) -> dict[str, Any]:
    kept = {key: value for key, value in preprocessor.items() if key in _PREPROCESSING}
    if isinstance(preprocessor.get("data_preprocessor"), dict):  # of several branches
        kept["data_preprocessor"] = _plain(preprocessor["data_preprocessor"], deployed)
    if deployed and "pad_value" in preprocessor:
        kept["pad_value"] = preprocessor["pad_value"]
    if deployed and preprocessor.get("mean") is not None:
        kept |= _NORMALIZED
    return kept


def _small(steps: Sequence[Mapping[str, Any]], size: int) -> list[dict[str, Any]]:
    """A pipeline for images of at most ``size`` pixels, without settings that no pixel shows."""
    sides = [side for step in steps for key in ("scale", "size") for side in _pair(step.get(key))]
    factor = size / max(sides, default=size)

    def small(side: int) -> int:
        return max(_MULTIPLE, _MULTIPLE * round(side * factor / _MULTIPLE))

    found = []
    for given in steps:
        step = {key: value for key, value in given.items() if key not in _UNSEEN}
        for key in ("scale", "size"):
            if sides_of := _pair(step.get(key)):
                step[key] = tuple(map(small, sides_of))
        found.append(step)
    return found


def _pair(value: Any) -> tuple[int, ...]:
    """Two whole numbers, or nothing."""
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2
    return tuple(value) if is_pair and all(type(side) is int for side in value) else ()
