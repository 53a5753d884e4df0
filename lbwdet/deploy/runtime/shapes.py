"""Kinds and sizes of a program's values, for every image at once.

**Sizes.** The padded image is ``D * m`` pixels high for some m >= 1 (``D`` is the
divisor of ``Preprocess``). A convolution or a pool maps a side ``x`` to ``(x + a) // s``;
floors of quotients nest, so that every side of the program is one
``(factor * m + offset) // divisor``, and in lowest terms two sides are equal for every
image if and only if these three numbers are.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from lbwdet.deploy.runtime.declaration import Kind
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import ArtifactError, shown

MAX_REAL = 2.0**80  # far from where sums and products of float32 become infinite


@dataclass(frozen=True)
class Side:
    """A height or width: ``(factor * m + offset) // divisor`` pixels."""

    factor: int
    offset: int = 0
    divisor: int = 1

    def window(self, extent: int, stride: int, padding: int) -> "Side":
        """The side after a window of ``extent`` pixels moved over it."""
        margin = 2 * padding - extent + stride
        return self._lowest(self.offset + margin * self.divisor, self.divisor * stride)

    def longer(self, pixels: int) -> "Side":
        """The side with so many pixels more."""
        return self._lowest(self.offset + pixels * self.divisor, self.divisor)

    def times(self, factor: int) -> "Side":
        """The side of a map whose pixels were repeated; only of whole multiples of m.

        >>> Side(16).times(2)
        Side(factor=32, offset=0, divisor=1)
        """
        if self.divisor != 1:
            raise ArtifactError("a side that is rounded down cannot be repeated")
        return Side(self.factor * factor, self.offset * factor)

    @property
    def fits(self) -> bool:
        """Whether 64 bits hold its three numbers."""
        return max(self.factor, abs(self.offset), self.divisor) < 1 << 62

    def _lowest(self, offset: int, divisor: int) -> "Side":
        common = math.gcd(self.factor, divisor)
        return Side(self.factor // common, offset // common, divisor // common)

    @property
    def smallest(self) -> int:
        """At m = 1; sides never shrink with m."""
        return (self.factor + self.offset) // self.divisor


ONE = Side(0, 1)


@dataclass(frozen=True)
class Map:
    """A feature map.

    Attributes:
        channels, height, width: of the map.
        rows: names the boxes that it has one map for, each; '' for the one image.
        quantization: None: float32.
    """

    channels: int
    height: Side
    width: Side
    rows: str = ""
    quantization: Quantization | None = None

    @property
    def kind(self) -> Kind:
        return Kind.FLOAT if self.quantization is None else Kind.UINT8

    @property
    def size(self) -> tuple[Side, Side]:
        return self.height, self.width

    def quantized(self, quantization: Quantization | None) -> "Map":
        """The same with this quantization."""
        return Map(self.channels, self.height, self.width, self.rows, quantization)


@dataclass(frozen=True)
class Rows:
    """Boxes or candidates, as many as there happen to be.

    Attributes:
        kind: BOXES or CANDIDATES.
        classes: of candidates: how many classes their labels name.
        origin: names the rows of which these are others' versions, one for each; '' if of none.
        count: how many there are, if that does not depend on the image; else 0.
        numbered: names the boxes whose numbers are the levels of candidates; '' if levels are none.
    """

    kind: Kind
    classes: int = 1
    origin: str = ""
    count: int = 0
    numbered: str = ""

    @property
    def columns(self) -> int:
        """Numbers per row."""
        return 4 if self.kind is Kind.BOXES else 7


Value = Map | Rows
Pair = tuple[int, int]  # of the height and the width


class Shapes:
    """The values written so far.

    Args:
        quantizations: of the program.
        weights: of the artifact.
    """

    def __init__(
        self, quantizations: Mapping[str, Quantization], weights: Mapping[str, StoredWeight]
    ) -> None:
        self.quantizations = quantizations
        self.weights = weights
        self.values: dict[str, Value] = {}
        self.place = ""

    def expect(self, condition: bool, problem: str) -> None:
        """Raises ArtifactError, with the operation's place, unless ``condition``."""
        if not condition:
            self.refuse(problem)

    def refuse(self, problem: str) -> NoReturn:
        """Raises ArtifactError, with the operation's place."""
        raise ArtifactError(f"{self.place}: {problem}")

    def expect_reach(self, reach: float) -> None:
        """Refuses numbers, in units of the output's scale, that float32 might not hold.

        Factors are then finite, and what is stored is never "not a number".
        """
        self.expect(
            reach < MAX_REAL,
            f"outputs could reach {reach:.3g}, at most {MAX_REAL:.3g} is allowed; see the scales, "
            "gain and bias",
        )

    def ratio(self, source: str, target: str) -> float:
        """How large a number of one uint8 value can be in units of another's scale."""
        return 255 * self.quantized(source).scale / self.quantized(target).scale

    def map(self, name: str) -> Map:
        """A map that an operation reads."""
        value = self.values[name]
        assert isinstance(value, Map)  # roles were checked
        return value

    def image_map(self, name: str) -> Map:
        """A map of the one image, not of boxes."""
        value = self.map(name)
        self.expect(not value.rows, f"{shown(name)} is not a map of the image")
        return value

    def quantized(self, name: str) -> Quantization:
        """The quantization of a uint8 value, read or written."""
        return self.quantizations[name]

    def exponents(self, name: str) -> tuple[int, ...]:
        """Of the channels' steps; none of a map in reals, or where all are equal."""
        quantization = self.quantizations.get(name)
        return () if quantization is None else quantization.exponents

    def candidates(self, name: str) -> Rows:
        """Candidates that an operation reads."""
        value = self.values[name]
        assert isinstance(value, Rows)
        return value

    def origin(self, rows: str) -> str:
        """The rows that others are versions of: two have as many if these are the same."""
        value = self.values.get(rows)
        return value.origin or rows if isinstance(value, Rows) else rows

    def count(self, rows: str) -> int:
        """How many rows there are in every image; 0 if that depends on it."""
        value = self.values[rows]
        assert isinstance(value, Rows)
        return value.count

    def map_of_rows(self, name: str, rows: str) -> Map:
        """A map of one pixel for each of some boxes."""
        value = self.map(name)
        self.expect(
            self.origin(value.rows) == self.origin(rows) and value.size == (ONE, ONE),
            f"{shown(name)} is not one pixel per box of {shown(rows)}",
        )
        return value

    def windowed(self, value: Map, window: tuple[tuple[int, int, int], ...]) -> Map:
        """The map after windows of (extent, stride, padding), for the height and the width."""
        height, width = value.height.window(*window[0]), value.width.window(*window[1])
        self.expect(
            min(height.smallest, width.smallest) >= 1,
            "the window is larger than the map of the smallest image",
        )
        return Map(value.channels, height, width, value.rows)

    def per_level(self, *sequences: tuple[object, ...]) -> None:
        """One entry per level is wanted in each of them."""
        lengths = [len(sequence) for sequence in sequences]
        self.expect(
            len(set(lengths)) == 1 and lengths[0] > 0,
            f"one entry per level is wanted everywhere; given are {lengths}",
        )
