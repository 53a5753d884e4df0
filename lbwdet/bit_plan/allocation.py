"""Bit widths of layers for a budget of bytes: a multiple-choice knapsack.

Each layer takes one bit width. The damage of several quantized layers is taken as the sum
of what each does alone; the sum is made least within the budget by dynamic programming over
the bytes, which, unlike a walk along the convex hull of each layer's choices (Lagrange
multipliers), also finds the optima inside the hull and uses up the budget.
"""

from collections.abc import Mapping

import numpy as np

from lbwdet.errors import ConfigError

RESOLUTION = 20_000  # steps of the budget; sizes are rounded up, so it is never exceeded


def allocate_bits(
    cost: Mapping[str, Mapping[int, float]],
    size: Mapping[str, Mapping[int, int]],
    budget: int,
) -> dict[str, int]:
    """The bit widths of least total cost whose total size is within the budget.

    Exact but for sizes: they count in steps of ``budget / RESOLUTION``, rounded up.
    Among equally good choices the one of fewer bytes is taken.

    Args:
        cost: layer to bit width to damage; finite.
        size: the same layers and bit widths, to bytes.
        budget: bytes of all layers together.

    Returns:
        The bit width of each layer.

    Raises:
        ConfigError: even the smallest choices exceed the budget.

    >>> cost = dict(stem={2: 9.0, 4: 1.0}, body={2: 2.0, 4: 1.0})
    >>> size = dict(stem={2: 10, 4: 20}, body={2: 100, 4: 200})
    >>> allocate_bits(cost, size, budget=150)
    {'stem': 4, 'body': 2}
    """
    least = sum(min(sizes.values()) for sizes in size.values())
    if least > budget:
        raise ConfigError(
            f"the budget leaves {budget:,} bytes for the quantized weights, but at the smallest "
            f"bit widths they take {least:,}; give more, or allow fewer bits by --bit-widths"
        )
    # Beyond the largest choices, more budget buys nothing.
    budget = min(budget, sum(max(sizes.values()) for sizes in size.values()))
    step = max(1.0, budget / RESOLUTION)
    capacity = int(budget / step)
    best = np.zeros(capacity + 1)  # least cost of the layers so far, by steps they may take
    chosen: list[tuple[str, list[int], np.ndarray]] = []
    for name, costs in cost.items():
        widths = sorted(costs, key=lambda width: size[name][width])
        table = np.full((len(widths), capacity + 1), np.inf)
        for row, width in enumerate(widths):
            steps = int(np.ceil(size[name][width] / step))
            if steps <= capacity:
                table[row, steps:] = best[: capacity + 1 - steps] + costs[width]
        pick = table.argmin(axis=0)  # the first of equals: the smallest
        best = table[pick, np.arange(capacity + 1)]
        chosen.append((name, widths, pick))
    if not np.isfinite(best[-1]):
        # Only rounding up made the smallest choices exceed the budget.
        return {name: widths[0] for name, widths, _ in chosen}
    left = int(np.flatnonzero(best == best[-1])[0])
    bits = dict.fromkeys(cost, 0)
    for name, widths, pick in reversed(chosen):  # what each took of what was left
        bits[name] = widths[pick[left]]
        left -= int(np.ceil(size[name][bits[name]] / step))
    return bits


def monotone_costs(changes: Mapping[int, float]) -> dict[int, float]:
    """Damage by bit width that is never negative and never grows with the bits.

    Measured on few images, some changes are below zero or out of order; that is noise,
    which an optimum would pick out.

    >>> monotone_costs({2: 0.9, 3: 0.1, 4: 0.2, 6: -0.1})
    {2: 0.9, 3: 0.1, 4: 0.1, 6: 0.0}
    """
    widths = sorted(changes)
    costs = np.minimum.accumulate([max(changes[width], 0.0) for width in widths])
    return dict(zip(widths, costs.tolist(), strict=True))
