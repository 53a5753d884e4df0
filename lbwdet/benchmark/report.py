"""The benchmark's table and plots."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lbwdet.figures import COLORS, style, timed_calls
from lbwdet.files import write_bytes
from lbwdet.tables import (
    NOT_MEASURED,
    bytes_text,
    latency_text,
    machine_text,
    table,
    threads_text,
)

PARTS = dict(dense="Dense part", end_to_end="End to end")
PROFILED = 25
_TIMES = ("median", "p10", "p90")


def markdown(result: Mapping[str, Any], profile: bool = True) -> str:
    """The content of ``benchmark.json`` as Markdown, with or without the times per operation."""
    blocks = []
    for part, title in PARTS.items():
        if rows := _rows(result, part):
            first: dict[str, Callable[[Mapping[str, Any]], str]] = {
                title: _end_to_end if part == "end_to_end" else _name
            }
            rates = _with_throughput(rows) if part == "end_to_end" else {}
            blocks.append(table(rows, first | _with_files(rows) | rates | _COLUMNS))
    blocks += [f"- Not measured: {name}: {why}." for name, why in result["unavailable"].items()]
    blocks += [f"- {line}" for line in _protocol(result)]
    if profile and (slowest := _profile(result)):
        blocks += ["", slowest]
    return "\n".join([*blocks, ""])


def summary(result: Mapping[str, Any]) -> str:
    """Speed and accuracy of each engine, end to end, in one short table and one line."""
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "image in, boxes out": _end_to_end,
        "median (p10-p90)": _COLUMNS["median (p10-p90)"],
        "faster": _COLUMNS["against torch"],
        "mAP 11-point": _COLUMNS["mAP 11-point"],
        "mAP area": _COLUMNS["mAP area"],
        "peak memory": _COLUMNS["peak memory"],
    }
    rows = _rows(result, "end_to_end")
    # Of several artifacts each row says its size.
    artifact = f"{result['artifact']['name']}, {bytes_text(result['artifact']['bytes'])}; "
    line = (
        f"{'' if _artifacts(result) else artifact}"
        f"{threads_text(result['threads'])}; mAP: {result['accuracy_set']}. "
        f"{machine_text({key: result[key] for key in ('cpu', 'commit')})}"
    )
    return "\n".join([table(rows, columns | _with_files(rows)), line, ""])


def _rows(result: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Every engine's entry, with its name and its ratio to torch."""
    part = result["part"][name]
    ratios, artifacts = part["ratio_to_torch_fp32"], _artifacts(result)
    return [
        entry | dict(name=artifacts.get(name, name), ratio=ratios.get(name))
        for name, entry in part["engines"].items()
    ]


def _artifacts(result: Mapping[str, Any]) -> dict[str, str]:
    """The first artifact's row is called like those of the others, where there are others."""
    engines = result["part"]["end_to_end"]["engines"]
    several = any(name.startswith("native-") for name in engines)
    return {"native": f"native-{Path(result['artifact']['name']).stem}"} if several else {}


def _name(row: Mapping[str, Any]) -> str:
    return str(row["name"])


def _end_to_end(row: Mapping[str, Any]) -> str:
    """An engine's name, and what it leaves to another."""
    name = _name(row)
    return f"{name}, boxes in PyTorch" if name in _GRAPHS_ALONE else name


# Engines that run convolutions and fully connected layers only.
_GRAPHS_ALONE = [
    f"{engine}-{precision}"
    for engine in ("onnxruntime", "openvino", "ncnn")
    for precision in ("fp32", "int8")
]


def _protocol(result: Mapping[str, Any]) -> list[str]:
    model, artifact = result["float_model"], result["artifact"]
    steady = ", each call behind another one of the same engine" if result.get("steady") else ""
    lines = [
        f"Artifact {artifact['name']}, {bytes_text(artifact['bytes'])}; network input "
        f"{result['input']}; {threads_text(result['threads'])}, pinned; "
        f"{result['images']['count']} images ({result['images']['source']}), {result['rounds']} "
        f"rounds interleaved over the engines after one to warm up{steady}; each engine in a "
        "process of its own.",
        "Dense part: from the network's input to the maps that boxes and regions are made from. "
        "End to end: uint8 image in, boxes out. Of the native engine the dense part is the sum of "
        "its operations' wall times within a whole run; of the others, a run of that graph alone.",
    ]
    if model:
        lines.append(
            f"torch is MMDetection eager on the float detector ({', '.join(model)}); "
            "onnxruntime, openvino and ncnn run its convolutions and fully connected layers, int8 "
            "being what their own post-training quantizers make of it, calibrated on "
            f"{_calibrated_on(result)}; what makes boxes (proposals, RoIAlign, suppression) stays "
            "MMDetection's there."
        )
        lines += _whole(result)
    engines = result["part"]["end_to_end"]["engines"].values()
    if any(engine.get("images_per_second") for engine in engines):
        lines.append(
            f"images/s: {result['threads']} images at a time, one thread each (OpenVINO: its hint "
            "for throughput); rounds of some seconds, interleaved."
        )
    lines += _quiet(result.get("quiet"))
    if result["accuracy_set"]:
        lines.append(f"mAP: {result['accuracy_set']}, IoU 0.5, of each engine's own detections.")
    lines.append(machine_text({key: result[key] for key in ("cpu", "commit")}))
    return lines


def _whole(result: Mapping[str, Any]) -> list[str]:
    if not any(name.endswith("-whole") for name in result["part"]["end_to_end"]["engines"]):
        return []
    return [
        "-whole: the whole detector as one graph, with the engine's own suppression and RoIAlign, "
        "exported from the project's float program; resizing by OpenCV. openvino-int8 is NNCF's "
        "preset for activations with zero points (mixed), int8-performance the one without; "
        "onnxruntime-int8 is static, per channel."
    ]


def _quiet(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    if found["why_not"]:
        return [f"**The machine was not quiet**: {'; '.join(found['why_not'])}."]
    widest = max(found["spread"].values(), default=0)
    return [
        f"The machine was quiet: others kept {found['load_during']:.2f} CPUs busy, and no engine's "
        f"times spread by more than {widest:.0%} of their median."
    ]


def _calibrated_on(result: Mapping[str, Any]) -> str:
    source = result.get("calibration", dict(source="timed"))
    if source["source"] == "timed":
        return f"the {result['images']['count']} images that are timed"
    images = "1 image" if source["count"] == 1 else f"{source['count']} images"
    return f"{images} ({source['source']})"


def _profile(result: Mapping[str, Any]) -> str:
    native = result["part"]["end_to_end"]["engines"].get("native", {})
    costs: Sequence[Mapping[str, Any]] = native.get("profile") or []
    if not costs:
        return ""
    total = sum(cost["nanoseconds"] for cost in costs)
    slowest = sorted(costs, key=lambda cost: -cost["nanoseconds"])[:PROFILED]
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        f"operation (the {len(slowest)} slowest of {len(costs)})": lambda cost: (
            f"{cost['kind']} {cost['name']}"
        ),
        "time": lambda cost: f"{cost['nanoseconds'] / 1e6:.2f} ms",
        "share": lambda cost: f"{100 * cost['nanoseconds'] / total:.1f} %",
        "GMAC": lambda cost: _unless_zero(cost["multiplications"] / 1e9, 3),
        "GMAC/s": lambda cost: _unless_zero(cost["multiplications"] / cost["nanoseconds"], 0),
    }
    return table(slowest, columns)


def _unless_zero(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value else ""


_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "median (p10-p90)": lambda row: latency_text({key: 1e3 * row[f"{key}_s"] for key in _TIMES}),
    "against torch": lambda row: NOT_MEASURED if row["ratio"] is None else f"{row['ratio']:.2f}x",
    "peak memory": lambda row: f"{row['peak_rss_mb']:,.0f} MB",
    "load": lambda row: f"{row['load_s']:.2f} s",
    "mAP 11-point": lambda row: _points(row.get("mAP_11point")),
    "mAP area": lambda row: _points(row.get("mAP_area")),
}


def _points(fraction: float | None) -> str:
    return NOT_MEASURED if fraction is None else f"{100 * fraction:.1f}"


def _with_files(
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """A column for the size of each engine's model, if it is known."""
    if not any(row.get("file_bytes") for row in rows):
        return {}
    return {"model": lambda row: bytes_text(row["file_bytes"]) if row["file_bytes"] else ""}


def _with_throughput(
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """A column for the images per second with one image on each core, if they were measured."""
    if not any(row.get("images_per_second") for row in rows):
        return {}
    return {"images/s (lowest-highest)": _rate}


def _rate(row: Mapping[str, Any]) -> str:
    rates: list[float] | None = row.get("images_per_second")
    if not rates:
        return NOT_MEASURED
    return f"{statistics.median(rates):.1f} ({min(rates):.1f}-{max(rates):.1f})"


def write_plots(folder: Path, result: Mapping[str, Any]) -> None:
    """One PNG per part."""
    for part, title in PARTS.items():
        rows = [
            (name, COLORS[row % len(COLORS)], [1e3 * value for value in entry["samples_s"]])
            for row, (name, entry) in enumerate(result["part"][part]["engines"].items())
        ]
        if rows:
            with style():
                picture = timed_calls(rows, f"{title}, {threads_text(result['threads'])}")
            write_bytes(folder / f"{part}.png", picture)
