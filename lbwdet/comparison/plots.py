"""Plots of a comparison as PNG bytes; a model has the same colour in all of them."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import cv2
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator

from lbwdet.comparison.results import ModelResult
from lbwdet.figures import MARKERS, label, png, short, style, timed_calls
from lbwdet.images import viewable
from lbwdet.measuring.testset import TestSet

SHEET_SCORE = 0.3  # detections below this score are not drawn on the contact sheet
MOST_NAMED = 10  # objects in an image up to which class names are written beside the boxes
TRUTH_COLOR = "#FFFFFF"


def draw_plots(results: Sequence[ModelResult], dark: bool = False) -> dict[str, bytes]:
    """All plots by name: ``map_against_bytes``, ``latency``, ``per_class``, ``precision_recall``.

    Without measured latency there is no plot of it.
    """
    with style(dark):
        plots = dict(map_against_bytes=_map_against_bytes(results))
        timed = [
            (f"{short(one.name)} ({one.candidate.engine})", one.color, one.latency.milliseconds)
            for one in results
            if one.latency
        ]
        if timed:
            plots["latency"] = timed_calls(timed, "Latency, every call")
        return plots | dict(
            per_class=_per_class(results), precision_recall=_precision_recall(results)
        )


def _map_against_bytes(results: Sequence[ModelResult]) -> bytes:
    figure = Figure(figsize=(7.2, 4.2))
    axes = figure.add_subplot()
    sizes = [result.candidate.size.weight_bytes / 1e6 for result in results]
    scores = [result.accuracy.map_11point or 0.0 for result in results]
    for index, result in enumerate(results):
        axes.scatter(
            sizes[index],
            scores[index],
            s=90,
            color=result.color,
            marker=MARKERS[index % len(MARKERS)],
            label=result.name,
            zorder=3,
        )
        label(axes, f"{scores[index]:.3f}", (sizes[index], scores[index]), above=8)
    axes.set(xlabel="weights as stored, MB (log scale)", ylabel="mAP, 11-point")
    axes.set_title("Accuracy against size")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
    room = max(0.02, 0.3 * (max(scores) - min(scores)))
    axes.set_ylim(max(0.0, min(scores) - room), min(1.05, max(scores) + room))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


def _per_class(results: Sequence[ModelResult]) -> bytes:
    classes = list(results[0].accuracy.per_class)
    width = 0.8 / len(results)
    figure = Figure(figsize=(min(18.0, max(7.2, 0.28 * len(classes) * len(results) + 2)), 4.2))
    axes = figure.add_subplot()
    for index, result in enumerate(results):
        entries = [result.accuracy.per_class[name] for name in classes]
        offset = (index - (len(results) - 1) / 2) * width
        axes.bar(
            [place + offset for place in range(len(classes))],
            [entry.ap_11point or 0.0 for entry in entries],
            width=0.92 * width,
            color=result.color,
            label=result.name,
        )
    truths = results[0].accuracy.per_class
    labels = [f"{short(name)}\n{truths[name].num_truths or 'no'} objects" for name in classes]
    crowded = len(classes) > 8
    axes.set_xticks(
        range(len(classes)),
        labels,
        rotation=40 if crowded else 0,
        ha="right" if crowded else "center",
    )
    axes.grid(False, axis="x")
    axes.set(ylabel="AP, 11-point", ylim=(0, 1.0))
    axes.set_title("Average precision by class")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


def _precision_recall(results: Sequence[ModelResult]) -> bytes:
    classes = list(results[0].accuracy.per_class)
    columns = min(4, len(classes))
    rows = math.ceil(len(classes) / columns)
    figure = Figure(figsize=(max(7.2, 2.7 * columns), 2.7 * rows + 0.7))
    grid: list[Axes] = list(
        figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    )
    # Dashes beside colour: curves of good models lie on top of one another.
    looks: list[dict[str, Any]] = [
        dict(color=result.color, linestyle=dashes)
        for result, dashes in zip(results, itertools.cycle(("-", "--", "-.", ":")), strict=False)
    ]
    for name, axes in zip(classes, grid, strict=False):
        for result, look in zip(results, looks, strict=True):
            entry = result.accuracy.per_class[name]
            if entry.ap_11point is None:
                axes.text(0.5, 0.5, "no objects", ha="center", va="center")
                break
            axes.plot(entry.recall, entry.precision, linewidth=1.8, **look)
        axes.set_title(short(name))
        axes.set(xlim=(0, 1.02), ylim=(0, 1.04))
    for axes in grid[len(classes) :]:
        axes.set_axis_off()
    for axes in grid[::columns]:
        axes.set_ylabel("precision")
    for axes in grid[: len(classes)][-columns:]:
        axes.set_xlabel("recall")
        axes.tick_params(labelbottom=True)
    figure.legend(
        [Line2D([], [], **look) for look in looks],
        [result.name for result in results],
        loc="outside lower center",
        ncols=min(4, len(results)),
    )
    return png(figure)


def contact_sheet(
    results: Sequence[ModelResult], test_set: TestSet, indices: Sequence[int]
) -> bytes:
    """Ground truth and every model's detections side by side, one image a row."""
    with style():
        columns = 1 + len(results)
        pictures = [
            cv2.cvtColor(viewable(test_set.load(index)), cv2.COLOR_BGR2RGB) for index in indices
        ]
        heights = [picture.shape[0] / picture.shape[1] for picture in pictures]
        figure = Figure(figsize=(3.2 * columns, 3.2 * sum(heights) + 0.3 * len(indices) + 0.4))
        grid = figure.subplots(
            len(indices), columns, squeeze=False, gridspec_kw=dict(height_ratios=heights)
        )
        for row, (index, picture) in enumerate(zip(indices, pictures, strict=True)):
            truth = test_set.images[index].truth
            names = [test_set.classes[label] for label in truth.labels[~truth.ignored]]
            named = len(names) <= MOST_NAMED
            _panel(grid[row][0], picture, truth.boxes[~truth.ignored], names * named, TRUTH_COLOR)
            for axes, result in zip(grid[row][1:], results, strict=True):
                found = result.detections[index].above(SHEET_SCORE)
                names = [test_set.classes[label] for label in found.labels]
                _panel(axes, picture, found.boxes, names * named, result.color)
            grid[row][0].set_ylabel(short(test_set.images[index].name))
        titles = ["ground truth", *(result.name for result in results)]
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(short(title))
        figure.supxlabel(f"detections with score {SHEET_SCORE} or more", fontsize=9)
        return png(figure, dots_per_inch=110)


def _panel(axes: Axes, picture: Any, boxes: Any, names: Sequence[str], color: str) -> None:
    halo = [withStroke(linewidth=2.8, foreground="#000000b0")]
    look: dict[str, Any] = dict(fill=False, edgecolor=color, linewidth=1.6, path_effects=halo)
    axes.imshow(picture)
    for x1, y1, x2, y2 in boxes:
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **look))
    for (x1, y1, *_), name in zip(boxes, names, strict=False):
        axes.text(x1, y1 - 2, short(name), color="white", size=7, path_effects=halo, clip_on=True)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
