"""What ``benchmarks/bulk.py`` measured, and what follows from it for 10^9 images, as Markdown."""

from collections.abc import Callable, Mapping
from typing import Any

from lbwdet.tables import table

Row = tuple[str, Mapping[str, float]]

IMAGES = 10**9
CORES = (64, 1024, 8192)
SHARD_SIZE = 10_000  # of such a run: ten thousand images in a file
_NAMES = {
    "loop": "a loop, nothing kept",
    "0": "`--workers 0`: in this process, without Ray",
    "1": "`--workers 1`",
    "2": "`--workers 2`",
}


def markdown(content: Mapping[str, Any]) -> str:
    """Rates, what Ray adds to an image, and the plan."""
    runs = content["runs"]
    columns: dict[str, Callable[[Row], object]] = {
        "run": lambda row: _NAMES[row[0]],
        "images per second": lambda row: f"{row[1]['images_per_second']:.1f}",
        "lowest to highest": lambda row: f"{row[1]['lowest']:.1f} to {row[1]['highest']:.1f}",
        "ms per image": lambda row: f"{_milliseconds(row[1]):.1f}",
        "start s": lambda row: f"{row[1]['start_s']:.1f}",
    }
    machine = content["machine"]
    before, after = machine["load"]
    added, without = (
        _milliseconds(runs[later]) - _milliseconds(runs[earlier])
        for earlier, later in (("0", "1"), ("loop", "0"))
    )
    rate = {name: run["images_per_second"] for name, run in runs.items()}
    note = (
        f"Rows, their files and the notes for a crash add {without:+.1f} ms to an image of the "
        f"loop's, Ray {added:+.1f} ms to that; two workers do "
        f"{rate['2'] / rate['1']:.2f} times one's images. "
        f"{content['artifact']['name']} ({content['artifact']['bytes'] / 1e6:.2f} MB), one thread "
        f"each, {content['images']} images of {content['image_bytes'] / 1e3:.0f} kB, boxes from "
        f"{content['score_threshold']} on ({content['boxes']:.1f} an image), shards of "
        f"{content['shard_size']}, {content['rounds']} rounds in turn, medians. {machine['cpu']}, "
        f"{machine['cores']} cores, load {before:.1f} before and {after:.1f} after; commit "
        f"{content['commit'][:12]}."
    )
    return f"{table(runs.items(), columns)}\n{note}\n\n{plan(content)}"


def plan(content: Mapping[str, Any]) -> str:
    """For 10^9 such images: hours and traffic against cores; bytes and files in all."""
    per_core = content["runs"]["2"]["images_per_second"] / 2  # with its neighbour at work, too
    image, row = content["image_bytes"], content["row_bytes"]
    columns: dict[str, Callable[[int], object]] = {
        "workers (cores)": lambda cores: f"{cores:,}",
        "hours": lambda cores: f"{IMAGES / per_core / cores / 3600:,.1f}",
        "images per second": lambda cores: f"{per_core * cores:,.0f}",
        "MB/s to read": lambda cores: f"{per_core * cores * image / 1e6:,.0f}",
        "MB/s to write": lambda cores: f"{per_core * cores * row / 1e6:,.1f}",
    }
    listed = content["listed_per_second"]["tar"]
    note = (
        f"For 10^9 such images at {per_core:.1f} a second and core: "
        f"{IMAGES / per_core / 3600:,.0f} core hours, {IMAGES * image / 1e12:,.0f} TB to read, "
        f"{IMAGES * row / 1e9:,.0f} GB of rows in {IMAGES // SHARD_SIZE:,} files "
        f"(`--shard-size {SHARD_SIZE}`). The driver lists tar files at "
        f"{listed:,.0f} images a second, which is {IMAGES / listed / 3600:,.1f} hours: "
        "give a run a part of the tar files, or Parquet, of which footers alone are read."
    )
    return f"{table(CORES, columns)}\n{note}\n"


def _milliseconds(run: Mapping[str, float]) -> float:
    return 1000 / run["images_per_second"]
