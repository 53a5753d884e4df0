"""Reading a config file and applying what the command line changes in it."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lbwdet.errors import ConfigError

OWN_CONFIGS = Path(__file__).resolve().parents[1] / "configs"  # beside the package, not in it
VOC_TYPES = ("LBWVOCDataset", "VOCDataset", "XMLDataset")
SPLITS = ("train", "val", "test")


def class_name(kind: str | type) -> str:
    """``'QuantizeHook'`` for the class itself, its name, and a name with scope or module."""
    name = kind if isinstance(kind, str) else kind.__name__
    return name.rpartition(".")[2]


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What is changed in a config as it is read; what settings objects are made from.

    Attributes:
        data_root: the root of all its VOC-format data, see :func:`set_data_root`.
        cfg_options: dotted keys and their values, as ``--cfg-options`` gives them.
    """

    data_root: str | Path | None = None
    cfg_options: Mapping[str, Any] | None = None

    def load_config(self, path: str | Path) -> Config:
        """:func:`load_config`, with these."""
        return load_config(path, self.cfg_options, self.data_root)


def load_config(
    path: str | Path,
    cfg_options: Mapping[str, Any] | None = None,
    data_root: str | Path | None = None,
) -> Config:
    """Reads an MMEngine config and merges ``cfg_options`` (dotted keys) into it.

    Args:
        path: a file, or ``'mmdet::family/config.py'`` for one that a package ships.
        cfg_options: dotted keys and their values.
        data_root: the root of all its VOC-format data, see :func:`set_data_root`.

    Raises:
        ConfigError: the file is missing or cannot be read as a config, or an
            option or the data root does not fit it.
    """
    path = config_file(path)
    if not path.is_file():
        others = sorted(other.name for other in path.parent.glob("*.py"))
        hint = f"; {path.parent} has {', '.join(others[:8])}" if others else ""
        raise ConfigError(f"{path}: no such config{hint}")
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is code: anything can go wrong in it
        raise ConfigError(f"{path}: cannot be read as a config: {error}") from error
    try:
        cfg.merge_from_dict(dict(cfg_options or {}))
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        raise ConfigError(f"--cfg-options do not fit {path}: {error}") from error
    if data_root:
        set_data_root(cfg, data_root)
    return cfg


def set_data_root(cfg: Config, root: str | Path) -> None:
    """Points all VOC-format data sets in ``cfg`` to ``root``, in place.

    Overriding the top-level ``data_root`` of a config does not do this: it is
    a plain variable, copied into the data sets while the file is read.

    Raises:
        ConfigError: There is no such data set, or they have different roots.
    """
    datasets = [
        dataset
        for split in SPLITS
        if cfg.get(f"{split}_dataloader")
        for dataset in voc_datasets(cfg[f"{split}_dataloader"].get("dataset"))
    ]
    roots = sorted({str(dataset.get("data_root")) for dataset in datasets})
    if len(roots) != 1:
        found = (
            f"data sets with different roots: {', '.join(roots)}" if roots else "no such data set"
        )
        raise ConfigError(
            f"the data root can be set only for VOC-format data sets that share one; this config "
            f"has {found}. Set each by --cfg-options train_dataloader.dataset.data_root=..."
        )
    cfg.data_root = str(root)
    for dataset in datasets:
        dataset["data_root"] = str(root)


def voc_datasets(dataset: Any) -> Iterator[dict[str, Any]]:
    """The VOC-format data sets inside wrappers such as RepeatDataset and ConcatDataset."""
    for part in inner_datasets(dataset):
        kind = part.get("type")
        name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
        if name.rpartition(".")[2] in VOC_TYPES:  # 'mmdet.VOCDataset' names its scope
            yield part


def inner_datasets(dataset: Any) -> Iterator[dict[str, Any]]:
    """A data set's settings and those of every data set inside it."""
    if isinstance(dataset, list | tuple):
        for part in dataset:
            yield from inner_datasets(part)
    elif isinstance(dataset, dict):
        yield dataset
        yield from inner_datasets(dataset.get("dataset"))
        yield from inner_datasets(dataset.get("datasets"))


def config_file(name: str | Path) -> Path:
    """The file that a path or ``package::config`` names, which may be missing.

    Raises:
        ConfigError: the package is not installed.
    """
    package, separator, config = str(name).partition("::")
    if not separator:
        return Path(name)
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise ConfigError(f"{name}: no package {package!r} is installed")
    return Path(found.submodule_search_locations[0]) / ".mim" / "configs" / config


def add_import(cfg: Config, module: str) -> None:
    """Adds a module to the ``custom_imports`` of ``cfg``, in place, unless it is among them."""
    imports = dict(cfg.get("custom_imports") or {})
    present = imports.get("imports") or []
    present = [present] if isinstance(present, str) else list(present)
    imports["imports"] = present if module in present else [*present, module]
    cfg.custom_imports = imports


def default_work_dir(config: str | Path) -> str:
    """``work_dirs/<name of the config>``, as MMDetection does it."""
    return str(Path("work_dirs") / Path(config).stem)
