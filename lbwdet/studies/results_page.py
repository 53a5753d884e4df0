"""Writes tables and charts of ``docs/results.md`` and ``README.md`` from the JSON files there."""

import functools
import json
import operator
import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lbwdet.benchmark.picture import as_html, pictures
from lbwdet.benchmark.report import markdown as benchmark_tables
from lbwdet.benchmark.report import summary
from lbwdet.comparison.results import markdown
from lbwdet.errors import DataError
from lbwdet.files import write_bytes, write_text
from lbwdet.studies.bulk_report import markdown as bulk_tables
from lbwdet.studies.docker_report import markdown as docker_tables
from lbwdet.studies.mu_sweep_report import markdown as sweep_table
from lbwdet.studies.post_training_report import markdown as post_training_tables
from lbwdet.studies.post_training_report import short as post_training_summary
from lbwdet.studies.serve_report import markdown as serve_table
from lbwdet.studies.start_report import markdown as start_table
from lbwdet.studies.ste import markdown as study_tables
from lbwdet.studies.trained_zoo_report import markdown as trained_zoo_table
from lbwdet.studies.web_report import markdown as web_table
from lbwdet.tables import table

Row = Mapping[str, Any]
_BASES = {"scratch": ", from random weights", "published": ", as published"}
_UNTRAINED = {
    "rounded": "Rounded: the float model's weights projected, no retraining",
    "projected": "Projected: low-bit weights chosen by training images without their labels",
}
_KINDS = (*_BASES, "trained", *_UNTRAINED)
_DETECTORS = {
    "yolox_nano": "YOLOX-Nano with weights from COCO",
    "frcnn_lite0": "Faster R-CNN on EfficientNet-Lite0",
}
_TAUGHT = ("yolox_nano",)  # whose low-bit variants have a teacher
_BASES_OF = {"frcnn_lite0": {"scratch": ", from ImageNet's weights"}}
_STUDIES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "ste": study_tables,
    "mu-sweep": sweep_table,
    "post-training": post_training_tables,
    "web": web_table,
    "serve": serve_table,
    "bulk": bulk_tables,
    "docker": docker_tables,
    "trained-zoo": trained_zoo_table,
    "start": start_table,
    "training-step": lambda content: training_step_table(content),
}
_SUMMARIES: dict[str, Callable[[Mapping[str, Any]], str]] = {"post-training": post_training_summary}
# <!-- table NAME --> ... <!-- end --> in a page: what stands between is generated; of a benchmark
# and of some studies, <!-- table NAME summary --> is the short form. <!-- chart NAME --> is a
# benchmark's picture. An empty block waits for its file; a filled one must have it.
_BLOCK = re.compile(
    r"(<!-- (?P<kind>table|chart) (?P<name>[\w-]+)(?P<short> summary)? -->\n)"
    r"(?P<old>.*?)(<!-- end -->)",
    re.DOTALL,
)


def update_pages(pages: Sequence[str | Path], results: str | Path = "docs/results") -> None:
    """Fills every block of the pages from ``<results>/<name>.json``.

    Charts are written there, too: ``<name>.png`` on white, ``<name>-dark.png`` on dark ground.

    Raises:
        DataError: a page is not there, or the JSON file of a block that holds something; then
            nothing is changed.
    """
    filled = {}
    drawn: dict[Path, bytes] = {}
    for page in map(Path, pages):
        if not page.is_file():
            raise DataError(f"{page}: no such page")
        fill = functools.partial(_filled, page, Path(results), drawn)
        filled[page] = _BLOCK.sub(fill, page.read_text(encoding="utf-8"))
    for path, picture in drawn.items():
        write_bytes(path, picture)
    for page, text in filled.items():
        write_text(page, text)


def _filled(page: Path, results: Path, drawn: dict[Path, bytes], block: re.Match[str]) -> str:
    path = results / f"{block['name']}.json"
    needs = f"{page}: {block['kind']} '{block['name']}' needs {path}, which is not there"
    if not path.is_file():
        if block["old"]:
            raise DataError(needs)
        print(f"{needs} yet")
        return block[0]
    content = json.loads(path.read_text(encoding="utf-8"))
    if block["kind"] == "chart":
        text = _chart(page, path, content, drawn)
    else:
        text = _text(path, content, bool(block["short"]))
    return f"{block[1]}{text.strip()}\n<!-- end -->"


def _chart(page: Path, path: Path, content: Mapping[str, Any], drawn: dict[Path, bytes]) -> str:
    if "part" not in content:
        raise DataError(f"{path}: a chart is drawn of a benchmark, which this is not")
    addresses = []
    for end, picture in pictures(content):
        file = path.with_name(f"{path.stem}{end}.png")
        drawn[file] = picture
        addresses.append(Path(os.path.relpath(file, page.parent)).as_posix())
    return as_html(content, *addresses)


def _text(path: Path, content: Mapping[str, Any], short: bool) -> str:
    study = content.get("study", "")
    write: Callable[[Mapping[str, Any]], str] | None = _STUDIES.get(study) or next(
        (write for key, write in _CONTENTS.items() if key in content), None
    )
    if write is None:
        raise DataError(f"{path}: neither an experiment, a comparison, a benchmark nor a study")
    if short:
        write = _SUMMARIES.get(study, summary if "part" in content else write)
    return write(content)


def experiment_tables(content: Mapping[str, Any]) -> str:
    """The trained and the rounded models of one experiment, as Markdown."""
    rows: list[Row] = content["rows"]
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in _KINDS}
    trained = kinds["trained"]
    reference = {row["seed"]: row for row in trained if row["bit_width"] == 32}
    bases = [*kinds["scratch"], *kinds["published"]]
    before = {row["seed"]: row for row in bases}
    if content.get("detector") in _TAUGHT:
        how = f"by labels ({_epochs(list(reference.values()))} epochs)"
        if taught := [row for row in trained if row["bit_width"] != 32]:
            how += f", or at low bits towards its outputs ({_epochs(taught)} epochs)"
    else:
        how = f"by one and the same schedule ({_epochs(trained)} epochs after the float model's "
        how += f"{_epochs(bases)})"
    said = (
        f"Trained on from the float model {how}; "
        "difference: to the float model trained on likewise, seed by seed.\n"
        if trained
        else f"The float model ({_epochs(bases)} epochs), not trained on.\n"
    )
    parts = [
        said,
        _table(
            [*bases, *trained], reference, _BASES | _BASES_OF.get(str(content.get("detector")), {})
        ),
    ]
    for kind, said in _UNTRAINED.items():
        after = [row for row in kinds[kind] if "of" in row]
        if others := [row for row in kinds[kind] if "of" not in row]:
            if kind == "projected" and not after:
                said += ", which those trained on start from"
            parts += [f"{said}; difference: to that float model.\n", _table(others, before)]
        if after:
            said += ", of the float model trained on, and not trained after it"
            parts += [f"{said}; difference: to that one.\n", _table(after, reference)]
    return "\n".join([*parts, _footnote(content, rows)])


def _table(
    rows: Sequence[Row], reference: Mapping[int, Row], bases: Mapping[str, str] = _BASES
) -> str:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row["variant"]), []).append(row)
    columns: dict[str, Callable[[list[Row]], object]] = {
        "model": lambda mine: mine[0]["variant"] + bases.get(mine[0]["kind"], ""),
        "bits": lambda mine: mine[0]["bit_width"],
        "weight KB": lambda mine: f"{mine[0]['weight_bytes'] / 1000:,.0f}",
        "mAP 11-point": lambda mine: _spread([row["mAP_11point"] for row in mine]),
        "mAP area": lambda mine: _spread([row["mAP_area"] for row in mine]),
        "difference 11-point": lambda mine: _differences(mine, reference, "mAP_11point"),
        "difference area": lambda mine: _differences(mine, reference, "mAP_area"),
        "seeds": lambda mine: ", ".join(str(seed) for seed in sorted(row["seed"] for row in mine)),
    }
    return table(groups.values(), columns)


def _differences(rows: Sequence[Row], reference: Mapping[int, Row], metric: str) -> str:
    """To the reference of the same seed; of what others start from there is none."""
    found = [
        row[metric] - reference[row["seed"]][metric]
        for row in rows
        if row["seed"] in reference and row is not reference[row["seed"]]
    ]
    return _spread(found, sign=True) if found and rows[0]["kind"] not in _BASES else ""


def _spread(values: Sequence[float], sign: bool = False) -> str:
    """Mean and standard deviation in points (hundredths)."""
    points = [100 * value for value in values]
    mean = f"{statistics.mean(points):{'+' if sign else ''}.1f}"
    return mean if len(points) < 2 else f"{mean} ± {statistics.stdev(points):.1f}"


def _epochs(rows: Sequence[Row]) -> str:
    return " or ".join(str(count) for count in sorted({row["epochs"] for row in rows}))


def _footnote(content: Mapping[str, Any], rows: Sequence[Row]) -> str:
    commits = sorted({_short(row["commit"]) for row in rows})
    detector = _DETECTORS.get(content.get("detector", "")) or (
        f"Faster R-CNN R18-FPN with {content['width']} channels in the first stage "
        "(64 is the full R18)"
    )
    machines = sorted({_machine(row) for row in rows})
    return (
        f"{content['dataset']}, {rows[0]['num_images']} test images, {detector}, IoU 0.5, fake-"
        f"quantized weights; mean ± standard deviation over the seeds, in points. CPU "
        f"{', '.join(machines)}; commit {', '.join(commits)}."
    )


def _machine(row: Row) -> str:
    return f"{row['cpu']} (trained on {row['gpu']})" if "gpu" in row else str(row["cpu"])


def _short(commit: str | None) -> str:
    """Twelve digits, with the note that files had been changed if there is one."""
    digits, _, note = (commit or "unknown").partition("-")
    return "-".join(filter(None, [digits[:12], note]))


def cost_table(content: Mapping[str, Any]) -> str:
    """What ``benchmarks/fake_quantize.py`` measured, as Markdown."""
    time, memory = content["time"], content["memory"]
    height, width = content["input_size"]
    rows = [["float training step", _seconds(time["float_step_ms"]), "1"]]
    rows += [
        [
            f"projecting every weight once, one exponent per {granularity}",
            _seconds(time[granularity]["fake_quantize_ms"]),
            f"{100 * time[granularity]['share_of_float_step']:.1f} %",
        ]
        for granularity in ("tensor", "channel")
    ]
    quantized = f"peak memory, {content['bit_width']} bits"
    rows += [
        ["peak memory, float", f"{memory['float_bytes'] / 1e9:.2f} GB", "1"],
        [quantized, f"{memory['quantized_bytes'] / 1e9:.2f} GB", f"{memory['ratio']:.2f}"],
    ]
    note = (
        f"{content['detector']}, {content['batch_size']} x {height} x {width}, "
        f"{content['device']}, {content['threads']} threads, {content['repeats']} repeats "
        f"interleaved, torch {content['torch']}, commit {_short(content['commit'])}."
    )
    headings = ("", "median (p10 to p90)", "against float")
    columns = {text: operator.itemgetter(place) for place, text in enumerate(headings)}
    return table(rows, columns) + "\n" + note


def training_step_table(content: Mapping[str, Any]) -> str:
    """What ``benchmarks/training_step.py`` measured, as Markdown."""
    columns: dict[str, Callable[[Row], object]] = {
        "detector": lambda row: row["detector"],
        "": lambda row: "mixed precision" if row["amp"] else "float32",
        "images": lambda row: " x ".join(map(str, (row["batch_size"], *row["input_size"]))),
        "float ms (p10 to p90)": lambda row: _milliseconds(row["float_ms"]),
        "6 bits ms (p10 to p90)": lambda row: _milliseconds(row["low_bit_ms"]),
        "more": lambda row: f"{row['more']:+.1%}",
    }
    if all("without_graphs_more" in row for row in content["rows"]):
        columns["without CUDA graphs"] = lambda row: f"{row['without_graphs_more']:+.1%}"
        columns["memory, of the three"] = lambda row: _gigabytes(row["memory"])
    note = (
        f"{content['device']}, {content['cpu']}, {content['threads']} threads; medians of "
        f"{content['repeats']} iterations each, in turns; torch {content['torch']}, commit "
        f"{_short(content['commit'])}."
    )
    return table(content["rows"], columns, left=2) + "\n" + note


def _gigabytes(memory: Sequence[int]) -> str:
    return ", ".join(f"{number / 1e9:.2f}" for number in memory) + " GB"


def _milliseconds(latency: Mapping[str, float]) -> str:
    return f"{latency['median']:.0f} ({latency['p10']:.0f} to {latency['p90']:.0f})"


def _seconds(latency: Mapping[str, float]) -> str:
    median, p10, p90 = (latency[key] / 1000 for key in ("median", "p10", "p90"))
    return f"{median:.2f} s ({p10:.2f} to {p90:.2f})"


# By a key that only such a file has.
_CONTENTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "rows": experiment_tables,
    "models": markdown,
    "part": functools.partial(benchmark_tables, profile=False),
    "memory": cost_table,
}
