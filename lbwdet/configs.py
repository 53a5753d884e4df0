"""Reading a config file and applying what the command line changes in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lbwdet.errors import ConfigError


def load_config(path: str | Path, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Reads an MMEngine config and merges ``cfg_options`` (dotted keys) into it.

    Raises:
        ConfigError: the file is missing or cannot be read as a config, or an
            option does not fit it.
    """
    path = Path(path)
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


def default_work_dir(config: str | Path) -> str:
    """``work_dirs/<name of the config>``, as MMDetection does it."""
    return str(Path("work_dirs") / Path(config).stem)
