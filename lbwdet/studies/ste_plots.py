"""The figures of the straight-through study, as PNG bytes drawn from the study's JSON."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from lbwdet.figures import png, style

_NAMES = dict(identity="identity", relu="ReLU", clipped_relu="clipped ReLU")
_COLORS = dict(identity="#D55E00", relu="#0072B2", clipped_relu="#009E73")
# In the descents two of the lines lie on one another.
_LINES = dict(identity="-", relu="-", clipped_relu=(0, (4, 3)))


def correlation(content: Mapping[str, Any]) -> bytes:
    """Coarse gradient times true gradient, and their cosine, over the angle."""
    with style():
        figure = Figure(figsize=(9.2, 3.9))
        product, cosine = figure.subplots(1, 2)
        angles = [point["angle"] / math.pi for point in content["sweep"]]
        for index, (name, label) in enumerate(_NAMES.items()):
            entries = [point["estimators"][index] for point in content["sweep"]]
            product.plot(
                angles, [e["correlation"] for e in entries], color=_COLORS[name], label=label
            )
            product.errorbar(
                angles,
                [e["measured"] for e in entries],
                yerr=[2.576 * e["error"] for e in entries],
                color=_COLORS[name],
                fmt="o",
                markersize=3.5,
                capsize=2.5,
            )
            cosine.plot(angles, [e["cosine"] for e in entries], color=_COLORS[name], label=label)
        product.set_title("Expected coarse gradient . true gradient")
        cosine.set_title("Cosine between the two")
        for axes in (product, cosine):
            axes.axhline(0, color="#1b1f24", linewidth=0.8)
            axes.set_xlabel("angle between w and w*, in units of π")
        product.legend(title="line: formula; dots: Monte Carlo, 99 %", loc="upper left")
        low, high = product.get_ylim()
        product.set_ylim(low, high * 1.35)
        return png(figure, dots_per_inch=110)


def descent(content: Mapping[str, Any]) -> bytes:
    """Loss and angle along the descents that start at the good and at the spurious minimum."""
    with style():
        figure = Figure(figsize=(9.2, 6))
        grid = figure.subplots(2, 2, sharex=True)
        for row, start in enumerate(("good", "spurious")):
            runs = [run for run in content["descent"]["runs"] if run["start"] == start]
            for run in runs:
                name = run["estimator"]
                steps = [content["descent"]["every"] * k for k in range(len(run["loss"]))]
                look = dict(color=_COLORS[name], label=_NAMES[name], linestyle=_LINES[name])
                grid[row][0].plot(steps, run["loss"], **look)
                grid[row][1].plot(steps, [a / math.pi for a in run["angle"]], **look)
            grid[row][0].set_title(f"Start at the {start} minimum: population loss")
            grid[row][1].set_title("Angle between w and w*, in units of π")
            grid[row][1].set_ylim(-0.04, 1.04)
        top = max(max(run["loss"]) for run in content["descent"]["runs"])
        for row in range(2):
            grid[row][0].set_ylim(-0.03 * top, 1.05 * top)
        for axes in grid[1]:
            axes.set_xlabel("step")
        grid[0][0].legend()
        return png(figure, dots_per_inch=110)
