"""The table and the figure of a mu sweep, from the content of ``sweep_mu.json``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from lbwdet.figures import COLORS, MARKERS, png, style
from lbwdet.tables import accuracy_text, machine_text, table

Row = Mapping[str, Any]
_QUANTITIES = {
    "error": "relative squared weight error",
    "mAP_11point": "mAP 11-point, rounded",
    "retrained_mAP_11point": "mAP 11-point, retrained",
}


def markdown(content: Mapping[str, Any]) -> str:
    """One row for each bit width and mu, the best ones in words, and how it was measured."""
    rows: Sequence[Row] = content["rows"]
    retrained = bool(content["retrain_epochs"])
    columns: dict[str, Callable[[Row], object]] = {
        "bits": lambda row: row["bit_width"],
        "mu": lambda row: "exact solver" if row["mu"] is None else f"{row['mu']:g}",
        "weight error": lambda row: f"{row['error']:.4f}",
        "mAP 11-point": lambda row: accuracy_text(row["mAP_11point"]),
        "mAP area": lambda row: accuracy_text(row["mAP_area"]),
    }
    if retrained:
        columns["retrained 11-point"] = lambda row: accuracy_text(row["retrained_mAP_11point"])
        columns["retrained area"] = lambda row: accuracy_text(row["retrained_mAP_area"])
    training = (
        f"epochs of retraining: {content['retrain_epochs']}, learning rate from "
        f"{content['learning_rate']:g}, cosine"
        if retrained
        else "not retrained"
    )
    notes = [
        *describe(rows),
        f"Float weights: mAP {accuracy_text(content['mAP_11point'])} (11-point), "
        f"{accuracy_text(content['mAP_area'])} (area).",
        f"{content['config']}, code {content['code']}, {training}; "
        f"{content['dataset']}, {content['num_images']} images, IoU 0.5. mu is a fraction of the "
        "largest magnitude of a layer. A mu chosen by this table is chosen on its test images: "
        "report it on others.",
        machine_text(content),
    ]
    return "\n".join([table(rows, columns), *(f"- {note}" for note in notes), ""])


def describe(rows: Sequence[Row]) -> Iterator[str]:
    """The best mu of each bit width beside the exact solver, in words."""
    key = "retrained_mAP_11point" if "retrained_mAP_11point" in rows[0] else "mAP_11point"
    for bit_width, (swept, exact) in _by_bit_width(rows).items():
        least = min(swept, key=lambda row: row["error"])
        best = max(swept, key=lambda row: row[key] or 0.0)
        yield (
            f"{bit_width} bits: least error {least['error']:.4f} at mu={least['mu']:g}, best mAP "
            f"{accuracy_text(best[key])} at mu={best['mu']:g}; exact solver "
            f"{exact['error']:.4f} and {accuracy_text(exact[key])}."
        )


def plot(content: Mapping[str, Any]) -> bytes:
    """A PNG: each quantity against mu, a colour per bit width, the exact solver dashed."""
    shown = {key: label for key, label in _QUANTITIES.items() if key in content["rows"][0]}
    groups = _by_bit_width(content["rows"])
    with style():
        figure = Figure(figsize=(4.3 * len(shown) + 0.4, 4.2))
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (key, label) in zip(panels, shown.items(), strict=True):
            for index, (bit_width, (swept, exact)) in enumerate(groups.items()):
                color = COLORS[index % len(COLORS)]
                axes.plot(
                    [row["mu"] for row in swept],
                    [row[key] or 0.0 for row in swept],
                    marker=MARKERS[index % len(MARKERS)],
                    markersize=5,
                    color=color,
                    label=f"{bit_width} bits",
                )
                axes.axhline(exact[key] or 0.0, color=color, linestyle=(0, (4, 3)), linewidth=1.2)
            if key != "error" and content["mAP_11point"] is not None:
                axes.axhline(content["mAP_11point"], color="#1b1f24", linewidth=1, label="float")
            _finish(axes, key, label, sorted({row["mu"] for row in content["rows"] if row["mu"]}))
        handles, labels = panels[-1].get_legend_handles_labels()
        handles.append(Line2D([], [], color="#6b7280", linestyle=(0, (4, 3))))
        figure.legend(
            handles, [*labels, "exact solver"], loc="outside lower center", ncols=len(handles)
        )
        return png(figure, dots_per_inch=110)


def _finish(axes: Axes, key: str, label: str, mus: Sequence[float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(mus, [f"{mu:g}" for mu in mus], rotation=60, fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("mu, as a fraction of max|W|")
    axes.set_title(label)
    if key == "error":
        axes.set_yscale("log")
        for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            set_formatter(lambda value, _: f"{value:g}")
    else:
        axes.set_ylim(bottom=-0.02)


def _by_bit_width(rows: Sequence[Row]) -> dict[int, tuple[list[Row], Row]]:
    """For each bit width the rows of the threshold solver, and that of the exact one."""
    exact = {row["bit_width"]: row for row in rows if row["mu"] is None}
    swept = [row for row in rows if row["mu"] is not None]
    return {
        width: ([row for row in swept if row["bit_width"] == width], exact[width])
        for width in sorted(exact)
    }
