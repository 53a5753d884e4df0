"""The table of the measurement in a browser, from what ``web/benchmark/benchmark.mjs`` wrote."""

from collections.abc import Callable, Mapping
from typing import Any

from lbwdet.tables import table

Row = tuple[str, Mapping[str, Any]]


def markdown(content: Mapping[str, Any]) -> str:
    """One row for each engine, and how it was measured."""
    columns: dict[str, Callable[[Row], object]] = {
        "engine": lambda row: row[0],
        "download MB": lambda row: f"{row[1]['download_bytes'] / 1e6:.2f}",
        "gzip MB": lambda row: f"{row[1]['download_bytes_gzip'] / 1e6:.2f}",
        "start ms": lambda row: f"{row[1]['start_ms']:,.0f}",
        "latency ms": lambda row: f"{row[1]['latency_ms']:.0f}",
        "a tenth below": lambda row: f"{row[1]['latency_ms_tenth']:.0f}",
        "a tenth above": lambda row: f"{row[1]['latency_ms_ninth_tenth']:.0f}",
    }
    machine, models = content["machine"], content["models"]
    before, after = machine["load"]
    note = (
        f"{content['protocol']} {content['images']} images, {content['rounds']} rounds; "
        f"{models['model']}, {models['float']}, {models['int8']}. {content['browser']}, "
        f"onnxruntime-web {content['onnxruntime_web']}, {machine['cpu']}, "
        f"{machine['cores']} cores, load {before:.1f} before and {after:.1f} after; "
        f"commit {content['commit'][:12]}."
    )
    return f"{table(content['engines'].items(), columns)}\n{note}\n"
