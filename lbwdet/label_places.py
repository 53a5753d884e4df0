"""Where the labels of a chart's discs can stand without lying on one another."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

GAP = 3.0  # between a disc and its label, and around every label
_STEPS = 12  # along a line
_ROUNDS = 3
_CROSSING = 50.0  # what a point of a line on a label or a disc counts, in square points
_DISTANCES = (0.0, 8.0, 18.0, 30.0, 44.0, 60.0, 80.0, 105.0)
# To the right first, where a reader looks for it; then turning away from it on both sides.
_ANGLES = [sign * step * math.pi / 12 for step in range(13) for sign in (1, -1)]


@dataclass(frozen=True)
class Box:
    """A rectangle with its middle and its size."""

    middle: Point
    size: Point

    def common(self, other: "Box") -> float:
        """Area that both cover."""
        sides = (
            max(0.0, min(a + w / 2, b + v / 2) - max(a - w / 2, b - v / 2))
            for a, w, b, v in zip(self.middle, self.size, other.middle, other.size, strict=True)
        )
        return math.prod(sides)

    @property
    def area(self) -> float:
        return math.prod(self.size)

    def holds(self, point: Point) -> bool:
        return self.nearest(point) == point

    def nearest(self, point: Point) -> Point:
        """Its point that is nearest to a point."""
        x, y = (
            min(max(p, m - w / 2), m + w / 2)
            for p, m, w in zip(point, self.middle, self.size, strict=True)
        )
        return x, y


def label_places(
    centres: Sequence[Point], radii: Sequence[float], sizes: Sequence[Point], room: Box
) -> list[Box]:
    """A place for each label, as near to its disc as the others leave free.

    The first labels are placed before there are others, and again once there are.

    Args:
        centres, radii: of the discs.
        sizes: width and height of their labels.
        room: what the labels must stay within.

    Returns:
        Where each label stands. Where no place is free it is the one that covers least.

    >>> (box,) = label_places([(50, 50)], [5], [(20, 10)], Box((50, 50), (100, 100)))
    >>> box.middle
    (68.0, 50.0)
    """
    discs = [
        Box(centre, (2 * radius, 2 * radius)) for centre, radius in zip(centres, radii, strict=True)
    ]
    taken: dict[int, Box] = {}
    for index in [*range(len(discs))] * _ROUNDS:
        taken.pop(index, None)
        others = [*taken.values(), *discs[:index], *discs[index + 1 :]]
        lines = [point for i, box in taken.items() for point in _line(centres[i], box)]
        # The first of the least: with nothing in the way it is the nearest.
        cost = functools.partial(_cost, discs[index], others, lines, room)
        taken[index] = min(_around(centres[index], radii[index], sizes[index]), key=cost)
    return [taken[index] for index in range(len(discs))]


def _cost(disc: Box, others: Sequence[Box], lines: Sequence[Point], room: Box, box: Box) -> float:
    """What a label in this place covers of others and of their lines, and its line of others."""
    around = Box(box.middle, (box.size[0] + 2 * GAP, box.size[1] + 2 * GAP))
    area = sum(around.common(other) for other in (disc, *others))
    area += around.area - around.common(room)
    crossed = sum(around.holds(point) for point in lines)
    crossed += sum(other.holds(point) for point in _line(disc.middle, box) for other in others)
    return round(area + _CROSSING * crossed, 6)


def _line(centre: Point, box: Box) -> list[Point]:
    """Points on the way from a disc's centre to its label."""
    (x, y), (to_x, to_y) = centre, box.nearest(centre)
    parts = [step / _STEPS for step in range(1, _STEPS)]
    return [(x + part * (to_x - x), y + part * (to_y - y)) for part in parts]


def _around(centre: Point, radius: float, size: Point) -> Iterator[Box]:
    """Places beside a disc, the nearest ones first."""
    (x, y), (width, height) = centre, size
    for distance in _DISTANCES:
        away = radius + distance + GAP
        for angle in _ANGLES:
            right, up = math.cos(angle), math.sin(angle)
            yield Box((x + right * (away + width / 2), y + up * (away + height / 2)), size)
