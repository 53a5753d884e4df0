"""What post-training did to each layer, as a table and as JSON values."""

from collections.abc import Sequence
from typing import Any

from lbwdet.posttraining.settings import LayerResult

_HEADER = ("layer", "nearest", "data-aware", "levels", "zeros")


def markdown(layers: Sequence[LayerResult]) -> str:
    """Relative squared errors of each layer's outputs, levels in use, and zeros, in percent.

    >>> print(markdown([LayerResult("fc", 0.04, 0.01, 0.125, 15)]))
    | layer | nearest | data-aware | levels | zeros |
    | --- | --- | --- | --- | --- |
    | fc | 4.00 | 1.00 | 15 | 12.5 |
    """
    lines = [_HEADER, ("---",) * len(_HEADER)]
    for layer in layers:
        zeros = f"{100 * layer.zeros:.1f}"
        errors = (_percent(layer.before), _percent(layer.after))
        lines.append((layer.name, *errors, str(layer.levels), zeros))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rows(layers: Sequence[LayerResult]) -> list[dict[str, Any]]:
    """As JSON values."""
    return [dict(vars(layer)) for layer in layers]


def _percent(error: float | None) -> str:
    return "not reached" if error is None else f"{100 * error:.2f}"
