"""A benchmark on one page's first screen: accuracy against latency and the size of the file."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from lbwdet.errors import DataError
from lbwdet.figures import COLORS, label_apart, png, style
from lbwdet.tables import bytes_text, machine_text, threads_text

POINTS_PER_MEGABYTE = 60  # square points, of the square around a disc
_PEERS = {
    "torch-fp32": ("MMDetection", "FP32"),
    "onnxruntime-fp32-whole": ("ONNX Runtime", "FP32"),
    "onnxruntime-int8-whole": ("ONNX Runtime", "INT8"),
    "openvino-fp32-whole": ("OpenVINO", "FP32"),
    "openvino-int8-whole": ("OpenVINO", "INT8"),
}
_OWN = "lbwdet"
_COLORS = dict(zip((_OWN, "OpenVINO", "ONNX Runtime", "MMDetection"), COLORS, strict=False))
_COLORS["MMDetection"] = COLORS[-1]
# What a config is called, and what measures it.
_DETECTORS = {
    "lbw_yolox_nano_voc-sample_fp32.py": (
        "YOLOX-Nano on photographs of PASCAL VOC",
        "python benchmarks/detectors.py yolox_nano --bits 6 4 --weights yolox_nano.pth",
    )
}


@dataclass(frozen=True)
class Shown:
    """One engine's disc.

    Attributes:
        engine: whose.
        variant: which of its ways to compute.
        milliseconds: image in, boxes out, the median.
        accuracy: area mAP, in points.
        file_bytes: of the model.
    """

    engine: str
    variant: str
    milliseconds: float
    accuracy: float
    file_bytes: int

    @property
    def label(self) -> str:
        """What stands beside the disc."""
        return f"{self.engine} {self.variant}\n{bytes_text(self.file_bytes)}"

    @property
    def words(self) -> str:
        """What the disc says."""
        return (
            f"{self.engine} {self.variant}: {self.accuracy:.1f} mAP, {self.milliseconds:.1f} ms, "
            f"{bytes_text(self.file_bytes)}"
        )


def shown(result: Mapping[str, Any]) -> list[Shown]:
    """The engines of a benchmark that have an accuracy and a file, the project's own first.

    Args:
        result: the content of ``benchmark.json``.

    Raises:
        DataError: there are none.
    """
    found = []
    for name, entry in result["part"]["end_to_end"]["engines"].items():
        who = _PEERS.get(name) or _own(name, result)
        if who is not None and entry.get("mAP_area") is not None and entry.get("file_bytes"):
            times = 1e3 * entry["median_s"], 100 * entry["mAP_area"]
            found.append(Shown(*who, *times, entry["file_bytes"]))
    if not found:
        raise DataError(
            "a chart needs engines with accuracy and a file: measure with lbwdet benchmark "
            "MODEL.lbw --accuracy"
        )
    return sorted(found, key=lambda each: each.engine != _OWN)


def _own(name: str, result: Mapping[str, Any]) -> tuple[str, str] | None:
    """Of the native engine, whose rows are called by their artifacts."""
    engine, _, stem = name.partition("-")
    stem = stem or Path(result["artifact"]["name"]).stem
    return (_OWN, stem.replace("bit", " bits").replace("-", ", ")) if engine == "native" else None


def draw(result: Mapping[str, Any], dark: bool = False) -> bytes:
    """The chart as PNG, narrow enough for a telephone: a disc's area is the size of its file."""
    discs = shown(result)
    with style(dark):
        figure = Figure(figsize=(4.8, 3.8))
        axes = figure.add_subplot()
        for engine in dict.fromkeys(disc.engine for disc in discs):
            mine = [disc for disc in discs if disc.engine == engine]
            places = [d.milliseconds for d in mine], [d.accuracy for d in mine]
            sizes = [_area(disc) for disc in mine]
            axes.scatter(*places, s=sizes, color=_COLORS[engine], linewidths=0, zorder=3)
        times = [disc.milliseconds for disc in discs]
        axes.set_xscale("log")  # the quick ones would lie on one another
        axes.set_xlim(min(times) / 1.5, 1.5 * max(times))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        low, high = (pick(disc.accuracy for disc in discs) for pick in (min, max))
        span = max(high - low, 10)
        axes.set_ylim(max(0, low - span / 4), high + span / 4)
        axes.set_xlabel(
            f"milliseconds (log scale), image in, boxes out, {threads_text(result['threads'])}"
        )
        axes.set_ylabel("mAP")
        label_apart(
            axes,
            [(disc.milliseconds, disc.accuracy) for disc in discs],
            [_radius(disc) for disc in discs],
            [disc.label for disc in discs],
            [_COLORS[disc.engine] for disc in discs],
        )
        return png(figure, dots_per_inch=220)


def _radius(disc: Shown) -> float:
    return math.sqrt(_area(disc)) / 2


def _area(disc: Shown) -> float:
    """Of the square around it, as Matplotlib counts it."""
    return POINTS_PER_MEGABYTE * disc.file_bytes / 1e6


def caption(result: Mapping[str, Any]) -> str:
    """What the chart shows, and how it was measured."""
    config = (result["float_model"] or ["a detector"])[0]
    name, command = _DETECTORS.get(config, (config, "lbwdet benchmark"))
    quiet = result.get("quiet") or dict(why_not=[])
    return (
        f"{name}: area mAP of each engine's own detections against the "
        f"time from image to boxes; a disc's area is the size of its file (`{command}`). "
        f"{result['accuracy_set']}. "
        + ("The machine was not quiet. " if quiet["why_not"] else "")
        + machine_text({key: result[key] for key in ("cpu", "commit")})
    )


def alternative(result: Mapping[str, Any]) -> str:
    """The chart in words, for those who cannot see it."""
    return "; ".join(disc.words for disc in shown(result))


def as_html(result: Mapping[str, Any], light: str, dark: str) -> str:
    """The chart's place in a page, by the reader's colours.

    Args:
        result: the content of ``benchmark.json``.
        light, dark: the pictures' addresses.
    """
    words = html.escape(alternative(result))
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img src="{light}" width="640" alt="{words}">\n'
        f"</picture>\n\n{caption(result)}"
    )


def pictures(result: Mapping[str, Any]) -> Sequence[tuple[str, bytes]]:
    """Ends of file names, and the pictures: on white, on dark ground."""
    return [("", draw(result)), ("-dark", draw(result, dark=True))]
