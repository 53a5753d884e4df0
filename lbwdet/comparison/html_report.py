"""The HTML report: one file that needs nothing beside it."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from lbwdet.comparison.plots import draw_plots
from lbwdet.comparison.results import ModelResult, protocol_lines
from lbwdet.errors import LBWError
from lbwdet.files import write_text
from lbwdet.images import viewable
from lbwdet.measuring.testset import TestSet
from lbwdet.tables import accuracy_text, bytes_text, latency_text

START_SCORE = 0.3  # where the score slider stands at first, and where disagreement is counted
PLOT_PIXEL_RATIO = 1.3  # pixels of a plot per CSS pixel, so that text stays text-sized
JPEG_SIDE = 640
JPEG_QUALITY = 82

PLOT_CAPTIONS = dict(
    map_against_bytes="mAP (11-point) against the bytes of the stored weights",
    latency="Milliseconds of every timed call, and the median",
    per_class="Average precision (11-point) by class",
    precision_recall="Precision against recall by class",
)


def disagreement(results: Sequence[ModelResult], index: int) -> int:
    """How much the models disagree on one image, counting scores of ``START_SCORE`` or more.

    The number of objects that some models find and others miss, plus the
    spread of the number of false detections.
    """
    found: list[set[int]] = []
    false: list[int] = []
    for result in results:
        match = result.accuracy.matches[index]
        shown = result.detections[index].scores >= START_SCORE
        found.append(set(match.truth_index[match.true & shown].tolist()))
        false.append(int((match.false & shown).sum()))
    split = found[0].union(*found) - found[0].intersection(*found)
    return len(split) + max(false) - min(false)


def choose_images(results: Sequence[ModelResult], test_set: TestSet, count: int) -> list[int]:
    """Indices of the ``count`` images with most disagreement, most first."""
    order = sorted(range(len(test_set)), key=lambda index: (-disagreement(results, index), index))
    return order[:count]


def write_report(
    path: Path,
    comparison: Mapping[str, Any],
    results: Sequence[ModelResult],
    test_set: TestSet,
    indices: Sequence[int],
    plots: Mapping[str, bytes],
) -> None:
    """Writes the report on ``results`` with a gallery of the images at ``indices``."""
    dark_plots = draw_plots(results, dark=True)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lbwdet.comparison"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(accuracy=accuracy_text, bytes=bytes_text, latency=latency_text)
    html = environment.get_template("report.html.j2").render(
        comparison=comparison,
        protocol=protocol_lines(comparison),
        results=results,
        layers=[(result, layer) for result in results for layer in result.candidate.layers()],
        plots=[
            dict(
                caption=caption,
                light=_data_uri(plots[name], "png"),
                dark=_data_uri(dark_plots[name], "png"),
                size=[side // PLOT_PIXEL_RATIO for side in _png_size(plots[name])],
            )
            for name, caption in PLOT_CAPTIONS.items()
            if name in plots
        ],
        gallery=dict(
            classes=test_set.classes,
            models=[dict(name=result.name, color=result.color) for result in results],
            images=[_sample(results, test_set, index) for index in indices],
            start_score=START_SCORE,
        ),
    )
    write_text(path, html)


def _sample(results: Sequence[ModelResult], test_set: TestSet, index: int) -> dict[str, Any]:
    """One gallery image. Boxes: [x1, y1, x2, y2, label, ...] in original pixels."""
    image = viewable(test_set.load(index))
    height, width = image.shape[:2]
    truth = test_set.images[index].truth
    return dict(
        name=test_set.images[index].name,
        width=width,
        height=height,
        jpeg=_data_uri(_jpeg(image), "jpeg"),
        disagreement=disagreement(results, index),
        truth=[
            [*_rounded(box), int(label), int(ignored)]
            for box, label, ignored in zip(truth.boxes, truth.labels, truth.ignored, strict=True)
        ],
        detections=[_detections(result, index) for result in results],
    )


def _detections(result: ModelResult, index: int) -> list[list[float | int | str]]:
    """[x1, y1, x2, y2, label, score, kind, object found or -1] for each, best first."""
    found, match = result.detections[index], result.accuracy.matches[index]
    kinds = np.select([match.true, match.false], ["matched", "false"], "ignored")
    return [
        [
            *_rounded(found.boxes[i]),
            int(found.labels[i]),
            round(float(found.scores[i]), 3),
            str(kinds[i]),
            int(match.truth_index[i]),
        ]
        for i in np.argsort(-found.scores, kind="stable")
    ]


def _rounded(box: np.ndarray) -> list[float]:
    return [round(float(value), 1) for value in box]


def _jpeg(image: np.ndarray) -> bytes:
    scale = min(1.0, JPEG_SIDE / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise LBWError(f"cannot encode an image of shape {image.shape} for the report")
    return data.tobytes()


def _png_size(png: bytes) -> tuple[int, int]:
    """Width and height, from the header that every PNG starts with."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
