"""Every picture of the project looks alike, and becomes PNG bytes in one way."""

import io
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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


def short(name: str, length: int = 24) -> str:
    """The name, cut at the end where it is too long for a picture."""
    return name if len(name) <= length else name[: length - 3] + "..."
