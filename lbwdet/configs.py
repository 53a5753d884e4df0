"""Reading a config file and applying what the command line changes in it."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lbwdet.errors import ConfigError


def load_config(path: str | Path, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Reads an MMEngine config and merges ``cfg_options`` (dotted keys) into it.

    Args:
        path: a file, or ``'mmdet::family/config.py'`` for one that a package ships.
        cfg_options: dotted keys and their values.

    Raises:
        ConfigError: the file is missing or cannot be read as a config, or an
            option does not fit it.
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
    return cfg


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
