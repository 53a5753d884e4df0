"""Every picture of the project looks alike, and becomes PNG bytes in one way."""

import io
import math
import statistics
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lbwdet.label_places import GAP, Box, label_places

# Okabe and Ito's palette without its black and yellow: told apart by colour-blind
# readers and visible on white and on dark ground.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
MARKERS = "osD^vPX"

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # a name with a dollar sign is a name
}
_LIGHT = dict(ground="#ffffff", ink="#1b1f24", faint="#d8dde3")
_DARK = dict(ground="#161a20", ink="#e6e9ee", faint="#343b45")
_ROLES = dict(
    ground=("figure.facecolor", "axes.facecolor", "savefig.facecolor"),
    ink=("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor"),
    faint=("axes.edgecolor", "grid.color"),
)


def style(dark: bool = False) -> AbstractContextManager[None]:
    """Matplotlib set up as every picture of the project has it, within a ``with`` block."""
    colors = _DARK if dark else _LIGHT
    theme = {key: colors[role] for role, keys in _ROLES.items() for key in keys}
    return mpl.rc_context(_STYLE | theme)


def png(figure: Figure, dots_per_inch: int = 130) -> bytes:
    """The figure as a file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    # Without the version stamp the same results give the same bytes.
    figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()


def timed_calls(rows: Sequence[tuple[str, str, Sequence[float]]], title: str) -> bytes:
    """Every timed call as a dot, the median as a line: a shape that a summary would hide.

    Args:
        rows: of each what it is called, its colour and its milliseconds.
        title: of the picture.
    """
    figure = Figure(figsize=(7.2, max(2.2, 0.55 * len(rows) + 1.2)))
    axes = figure.add_subplot()
    for row, (_, color, times) in enumerate(rows):
        # Spread by the order of the calls, so that equal times do not hide one another.
        heights = [row + 0.28 * math.sin(2.4 * index) for index in range(len(times))]
        axes.scatter(times, heights, s=14, color=color, alpha=0.55, linewidths=0)
        median = statistics.median(times)
        axes.plot([median, median], [row - 0.38, row + 0.38], color=color, linewidth=2.4)
        label(axes, f"{median:,.{0 if median >= 100 else 1}f}", (median, row - 0.38), above=2)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.75)
    axes.set_xlim(left=0)
    axes.grid(False, axis="y")
    axes.set(xlabel="milliseconds per image, every call and the median")
    axes.set_title(title)
    return png(figure)


def label(axes: Axes, text: str, place: tuple[float, float], above: float) -> None:
    """Writes a text centred so many points above a place of the data."""
    axes.annotate(
        text, place, xytext=(0, above), textcoords="offset points", ha="center", fontsize=9
    )


def short(name: str, length: int = 24, keep_end: bool = False) -> str:
    """The name, cut at the end, or at the beginning, where it is too long for a picture."""
    if len(name) <= length:
        return name
    return "..." + name[3 - length :] if keep_end else name[: length - 3] + "..."


def label_apart(
    axes: Axes,
    places: Sequence[tuple[float, float]],
    radii: Sequence[float],
    texts: Sequence[str],
    colors: Sequence[str],
) -> None:
    """Writes a text beside each disc so that none lies on another or on a disc, if there is room.

    A line leads to those that are further away. The limits of the axes must stand.

    Args:
        axes: of a figure with nothing more to come.
        places: centres of the discs, in data.
        radii: of the discs, in points (1/72 inch).
        texts: of one or more lines.
        colors: of the lines that lead to them.
    """
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # the layout, which places in points depend on
    point = figure.dpi / 72
    written = [
        axes.annotate(text, place, (0, 0), textcoords="offset points", ha="center", va="center")
        for text, place in zip(texts, places, strict=True)
    ]
    for text in written:
        text.set(fontsize=9.5, linespacing=1.15, in_layout=False)
    extents = [text.get_window_extent() for text in written]
    centres = [tuple(axes.transData.transform(place) / point) for place in places]
    sizes = [(extent.width / point, extent.height / point) for extent in extents]
    whole = axes.get_window_extent()
    middle = (whole.x0 + whole.x1) / 2 / point, (whole.y0 + whole.y1) / 2 / point
    room = Box(middle, (whole.width / point, whole.height / point))
    boxes = label_places(centres, radii, sizes, room)
    for text, box, centre, radius, color in zip(
        written, boxes, centres, radii, colors, strict=True
    ):
        text.set_position((box.middle[0] - centre[0], box.middle[1] - centre[1]))
        end = box.nearest(centre)
        distance = math.dist(end, centre)
        if distance > radius + 3 * GAP:
            part = radius / distance  # that the disc covers
            ends = zip(centre, end, strict=True)
            points = [(a + part * (b - a), b) for a, b in ends]
            line = [(x * point, y * point) for x, y in zip(*points, strict=True)]
            x, y = zip(*axes.transData.inverted().transform(line), strict=True)
            axes.plot(x, y, color=color, linewidth=0.8)
