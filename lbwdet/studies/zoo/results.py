"""The JSON file that walks through the zoo fill: an entry for each config."""

import json
from pathlib import Path
from typing import Any

import mmdet
import torch

from lbwdet.errors import ConfigError
from lbwdet.files import write_json
from lbwdet.measuring.environment import commit, cpu_name

DEPLOYED = "deployed"  # the key of what the walk of deployment finds


class Results:
    """What a file holds, and what is added to it.

    Args:
        out: the file; it need not be there.

    Attributes:
        entries: by config.
        content: everything in the file but the entries.

    Raises:
        ConfigError: ``out`` is another kind of file.
    """

    def __init__(self, out: str | Path) -> None:
        self._out = Path(out)
        self.entries: dict[str, dict[str, Any]] = {}
        self.content: dict[str, Any] = {}
        if not self._out.is_file():
            return
        try:
            self.content = json.loads(self._out.read_text(encoding="utf-8"))
            self.entries = {entry["config"]: entry for entry in self.content.pop("configs")}
        except (AttributeError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{out}: not a file of this command; name another --out") from error

    def write(self) -> dict[str, Any]:
        """Writes the file; returns its content."""
        entries = [self.entries[name] for name in sorted(self.entries)]
        written = {**self.content, "configs": entries}
        write_json(self._out, written)
        return written


def where() -> dict[str, Any]:
    """What results depend on besides the model: commit, machine, versions."""
    return dict(
        commit=commit(),
        cpu=cpu_name(),
        versions=dict(mmdet=mmdet.__version__, torch=torch.__version__),
    )
