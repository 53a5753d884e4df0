"""The table of a server under load, from what ``benchmarks/serve_load.py`` wrote."""

from collections.abc import Callable, Mapping
from typing import Any

from lbwdet.tables import table

Row = tuple[str, Mapping[str, Any]]
_WAYS = {
    "direct": "direct calls: file in, JSON out",
    "alone": "one client, in turn with them",
    "loaded": "{clients} clients at once",
}


def markdown(content: Mapping[str, Any]) -> str:
    """One row for each way to ask, and what came of it."""
    columns: dict[str, Callable[[Row], object]] = {
        "": lambda row: row[0].format(**content),
        "p50 ms": lambda row: f"{row[1]['p50_ms']:,.1f}",
        "p99 ms": lambda row: f"{row[1]['p99_ms']:,.1f}",
        "mean ms": lambda row: f"{row[1]['mean_ms']:,.1f}",
        "images": lambda row: f"{row[1]['count']:,}",
    }
    rows = [(text, content[way]) for way, text in _WAYS.items()]
    statuses, memory = content["statuses"], content["memory"]
    refused = ", ".join(
        f"{count:,} x {status}" for status, count in statuses.items() if status != "200"
    )
    megabytes = " / ".join(f"{quarter / 1e6:.1f}" for quarter in memory["quarters"])
    height, width = content["largest_image"]
    before, after = content["machine_load"]
    note = (
        f"Under load for {content['seconds']:,.0f} seconds: {statuses['200']:,} answers with boxes "
        f"({content['images_per_second']:.1f} a second), each equal to the direct call's byte for "
        f"byte; {refused}, as each had to be; {content['left']:,} clients left in the middle; "
        f"{content['lost']} answers lost, {content['wrong']} wrong. The server's memory in the "
        f"four quarters of that time: {megabytes} MB, at most {memory['peak'] / 1e6:.1f}. "
        f"{content['model']}; {content['images']} images of up to {width} x {height}; "
        f"{content['workers']} worker(s) of {content['threads']} thread(s). Clients run on the "
        f"same {content['cores']} cores. {content['cpu']}, load {before:.1f} before and "
        f"{after:.1f} after; commit {(content['commit'] or 'unknown')[:12]}."
    )
    return f"{table(rows, columns)}\n{note}\n"
