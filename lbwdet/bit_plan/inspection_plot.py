"""The picture of ``lbwdet inspect``: a row for each layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lbwdet.figures import png, short, style
from lbwdet.measuring.layer_report import LayerReport

_BAR = "#4269d0"
_ROW = 0.19  # inches
_LONGEST = 42  # characters of a name


def draw_layers(layers: Sequence[LayerReport], measure: str = "none") -> bytes:
    """Share of the weights at each level, error, bytes and the measured damage, as PNG bytes."""
    with style():
        panels = {
            "relative squared error": [layer.error or 0.0 for layer in layers],
            "bytes": [layer.bytes for layer in layers],
        }
        if measure != "none":
            panels[f"{measure} change"] = [layer.damage or 0.0 for layer in layers]
        height = max(2.5, _ROW * len(layers) + 1.2)
        figure = Figure(figsize=(6 + 2.2 * len(panels), height))
        histogram, *bars = figure.subplots(
            1, 1 + len(panels), sharey=True, width_ratios=[2.2] + [1] * len(panels)
        )
        n = max(len(layer.levels) for layer in layers) // 2
        histogram.imshow(
            _shares(layers, n),
            aspect="auto",
            cmap="Blues",
            extent=(-n - 0.5, n + 0.5, len(layers) - 0.5, -0.5),
        )
        histogram.set_title("share of weights at each level")
        histogram.set_xlabel("code: sign and number of the magnitude, top level outside")
        names = [short(layer.name, _LONGEST, keep_end=True) for layer in layers]
        histogram.set_yticks(range(len(layers)), names, fontsize=7)
        histogram.grid(False)
        for axes, (title, values) in zip(bars, panels.items(), strict=True):
            axes.barh(range(len(layers)), values, color=_BAR)
            axes.set_title(title)
            axes.tick_params(axis="x", labelsize=7)
        return png(figure)


def _shares(layers: Sequence[LayerReport], n: int) -> np.ndarray:
    """[layers, 2n + 1]; a layer of fewer levels has its top levels outside, like the others."""
    shares = np.full((len(layers), 2 * n + 1), np.nan)
    for row, layer in enumerate(layers):
        counts = np.array(layer.levels, float) / max(1, sum(layer.levels))
        half = len(layer.levels) // 2
        shares[row, :half] = counts[:half]
        shares[row, n] = counts[half]
        shares[row, 2 * n + 1 - half :] = counts[half + 1 :]
    return shares
