"""The tables of the images' layers, from what ``docker/try_in_chroot.py`` wrote."""

from collections.abc import Callable, Mapping
from typing import Any

from lbwdet.tables import bytes_text, plain, table

Row = Mapping[str, Any]
_SHOWN = 90  # letters of a step
_COLUMNS: dict[str, Callable[[Row], object]] = {
    "step": lambda row: _short(row["instruction"]),
    "layer": lambda row: bytes_text(row["layer_bytes"]),
    "in the image": lambda row: "yes" if row["kept"] else "no",
    "seconds": lambda row: f"{row['seconds']:,.0f}",
}


def markdown(content: Mapping[str, Any]) -> str:
    """A table of each image's layers, and what its containers did."""
    parts = []
    for name, image in content["images"].items():
        parts += [
            f"`docker/{name}`: {bytes_text(image['image_bytes'])}, of which "
            f"{bytes_text(image['base_bytes'])} are Debian and Python.\n",
            table(image["steps"], _COLUMNS),
        ]
        parts += [
            f"- `{run['command']}`: {run['seconds']:.1f} s; its last line: "
            f"{plain(run['last_line']) or 'nothing'}"
            for run in image["containers"]
        ]
        parts.append(
            f"{'' if not image['containers'] else chr(10)}"
            f"{image['cpu']}, beside other work; commit {(image['commit'] or 'unknown')[:12]}.\n"
        )
    return "\n".join(parts)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
