"""The table of starts, from what ``benchmarks/start.py`` wrote."""

from collections.abc import Callable, Mapping
from typing import Any

from lbwdet.tables import bytes_text, table

Model = Mapping[str, Any]


def _ms(step: str) -> Callable[[tuple[str, Model]], str]:
    return lambda row: f"{1e3 * row[1]['steps'][step]['median_s']:,.0f} ms"


_COLUMNS: dict[str, Callable[[tuple[str, Model]], object]] = {
    "start": lambda row: row[0],
    "file": lambda row: bytes_text(row[1]["file_bytes"]),
    "import": _ms("import"),
    "load": _ms("load"),
    "together (p10-p90)": lambda row: _spread(row[1]["steps"]["import_and_load"]),
    "of the CPUs": lambda row: f"{1e3 * row[1]['steps']['import_and_load']['cpu_s']:,.0f} ms",
    "first image": _ms("first_image"),
    "weights, packed": lambda row: bytes_text(row[1]["memory"]["weights"]),
    "values": lambda row: bytes_text(row[1]["memory"]["values"]),
    "peak above import": lambda row: (
        f"{bytes_text(row[1]['memory']['grown'])} ({row[1]['memory']['ratio']:.2f}x)"
    ),
}


def markdown(content: Mapping[str, Any]) -> str:
    """A row for each detector."""
    models: Mapping[str, Model] = content["models"]
    before, after = content["load"]
    height, width = content["image"]
    python = max(model["python_s"] for model in models.values())
    return "\n".join(
        [
            table(list(models.items()), _COLUMNS),
            f"Medians of {content['rounds']} fresh processes each, in turn, after one that is not "
            f"counted; {content['threads']} threads, {content['isa']}; Python {content['python']} "
            f"itself, {1e3 * python:,.0f} ms, comes before; most of the import is numpy "
            f"{content['numpy']}. Image: {height} x {width}. In brackets: peak memory above that "
            "after the import, over packed weights and values. Other programs kept "
            f"{before:.2f} CPUs busy before and {after:.2f} after. {content['cpu']}; commit "
            f"{(content['commit'] or 'unknown')[:12]}.",
        ]
    )


def _spread(step: Mapping[str, float]) -> str:
    return (
        f"{1e3 * step['median_s']:,.0f} ms ({1e3 * step['p10_s']:,.0f}-{1e3 * step['p90_s']:,.0f})"
    )
