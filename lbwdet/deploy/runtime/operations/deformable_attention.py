from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid, softmax
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

HALF = np.float32(0.5)


@dataclass(frozen=True)
class DeformableAttention(Operation):
    """Every query becomes a mean of a few samples of several maps, where it says itself.

    Deformable DETR (Zhu et al., arXiv 2010.04159). The channels of the ``values``, L maps, fall
    into ``heads`` parts of equal size. Each pixel (y, x) of ``offsets`` and ``logits`` is a query:
    for each head, each map l and each of P ``points`` k there are a shift to the right, one down
    (``offsets``), and a logit. A query has a place in every map, from ``references``: logits of
    x, y, or of x, y, width, height of a box, whose sigmoids are shares of the map's width W and
    height H; without references it is the middle of the query's own pixel, ``f32(x + 0.5) /
    f32(w)`` and ``f32(y + 0.5) / f32(h)`` of the w * h queries. In float32 as written, of a point::

        u = x * W + offset - 0.5                                      # without a width
        u = (x + offset * (width * (0.5 / P))) * W - 0.5              # with one
        v alike, with y, H and height
        j = floor(v);  b = v - j;  i = floor(u);  a = u - i
        m = weight * f32(s_l / s_y)
        f[0], f[1], f[2], f[3] = ((1 - b) * (1 - a)) * m, ((1 - b) * a) * m, (b * (1 - a)) * m,
                                 (b * a) * m

    with the softmax of ``Candidates`` over the L * P logits of a head as the weights, and the
    ``sigmoid`` of :mod:`lbwdet.deploy.runtime.arithmetic.boxes`. For each of the head's channels,
    over the maps, of each over its points, of each over the pixels (j, i), (j, i + 1), (j + 1, i),
    (j + 1, i + 1) that are inside of the map, none of them unless -1 < v < H and -1 < u < W::

        t = 0;  t = t + f32(q - zp_l) * f[...]
        y = clamp(round(t) + zp_y, 0, maximum)
    """

    float32: ClassVar[str] = "deformable attention: a softmax, and sums of bilinear samples"

    values: Annotated[tuple[str, ...], Reads(Kind.UINT8), Length(1, 16)]
    offsets: Annotated[str, Reads(Kind.FLOAT)]
    logits: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.UINT8)]
    heads: Annotated[int, Range(1, 1024)]
    points: Annotated[int, Range(1, 64)]
    references: Annotated[str, Reads(Kind.FLOAT)] | None = None

    def infer(self, shapes: Shapes) -> Map:
        first, *others = (shapes.map(name) for name in self.values)
        offsets, logits = shapes.map(self.offsets), shapes.map(self.logits)
        samples = self.heads * len(self.values) * self.points
        shapes.expect(
            all((o.channels, o.rows) == (first.channels, first.rows) for o in others)
            and first.channels % self.heads == 0,
            f"the maps have not the same channels, in {self.heads} heads",
        )
        shapes.expect(
            (offsets.channels, logits.channels) == (2 * samples, samples)
            and replace(offsets, channels=samples) == logits
            and offsets.rows == first.rows,
            f"the offsets and logits of queries are not {2 * samples} and {samples} channels of "
            "one size",
        )
        if self.references is not None:
            references = shapes.map(self.references)
            shapes.expect(
                replace(references, channels=samples) == logits and references.channels in (2, 4),
                "the references are not 2 or 4 numbers of each query",
            )
        for name in self.values:  # twice: weights sum up to one at most, but for their rounding
            shapes.expect_reach(2 * shapes.ratio(name, self.output))
        return replace(logits, channels=first.channels, quantization=None)

    def compute(self, run: Run) -> Array:
        n, height, width, _ = run.values[self.offsets].shape
        samples = (self.heads, len(self.values), self.points)
        offsets = run.values[self.offsets].reshape(n, height * width, *samples, 2)
        logits = run.values[self.logits].reshape(-1, samples[1] * self.points)
        weights = softmax(logits).reshape(offsets.shape[:-1])
        depth = run.values[self.values[0]].shape[3] // self.heads
        total = np.zeros((*offsets.shape[:3], depth), np.float32)
        ratios = run.ratios(self.values, self.output)
        for level, (name, ratio) in enumerate(zip(self.values, ratios, strict=True)):
            value = run.centered(name)
            value = value.reshape(*value.shape[:3], self.heads, depth)
            places = self._places(run, offsets[:, :, :, level], value.shape[1:3])
            for point in range(self.points):
                scale = weights[:, :, :, level, point] * ratio
                for pixels, factor in _bilinear(value, places[:, :, :, point], scale):
                    total = total + pixels * factor[..., None]
        return run.store(self.output, total.reshape(n, height, width, self.heads * depth))

    def _places(self, run: Run, offsets: Array, sides: tuple[int, ...]) -> Array:
        """float32 [n, queries, heads, points, 2]: x and y of samples, in pixels of one map."""
        n, height, width, _ = run.values[self.offsets].shape
        size = np.array([sides[1], sides[0]], np.float32)
        if self.references is None:
            y, x = (np.indices((height, width)).astype(np.float32) + HALF) / np.array(
                [[[height]], [[width]]], np.float32
            )
            middle, box = np.stack([x, y], -1).reshape(1, -1, 1, 1, 2), None
        else:
            found = sigmoid(run.values[self.references])
            found = found.reshape(n, height * width, 1, 1, found.shape[3])
            middle, box = found[..., :2], found[..., 2:]
        if box is None or not box.shape[-1]:
            return middle * size + offsets - HALF
        return (middle + offsets * (box * (HALF / np.float32(self.points)))) * size - HALF

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratios": context.ratios(self.values, self.output)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        heads, levels, points, n = (int(count) for count in random.integers(1, 4, 4))
        channels, size = heads * int(random.integers(1, 20)), random.integers(1, 6, 2)
        names, samples = tuple("abc"[:levels]), heads * levels * points
        values: dict[str, Array] = {
            name: random_cases.codes(random, (n, *random.integers(1, 9, 2), channels))
            for name in names
        }
        quantizations = {
            name: random_cases.quantization_of(random, x) for name, x in values.items()
        }
        quantizations["y"] = random_cases.output_quantization(random)
        offsets = random.normal(0, 2, (n, *size, 2 * samples)).astype(np.float32)
        if random.random() < 0.3:
            hostile = np.array([np.inf, -np.inf, 1e30, 2.0**31, -0.0, 1e-40], np.float32)
            struck = random.random(offsets.shape) < 0.1
            offsets[struck] = random.choice(hostile, int(struck.sum()))
        values["offsets"] = offsets
        values["logits"] = random.normal(0, 2, (n, *size, samples)).astype(np.float32)
        references = None
        if columns := int(random.choice([0, 2, 4])):
            references = "references"
            values[references] = random.normal(0, 2, (n, *size, columns)).astype(np.float32)
        operation = cls(names, "offsets", "logits", "y", heads, points, references)
        return Example(operation, values, quantizations)


def _bilinear(value: Array, places: Array, scale: Array) -> Iterator[tuple[Array, Array]]:
    """Of samples the four pixels around, in order, and the factors of each.

    Args:
        value: [n, height, width, heads, channels].
        places: float32 [n, queries, heads, 2]: x and y.
        scale: float32 [n, queries, heads].
    """
    n, height, width, heads, _ = value.shape
    size = np.array([width, height], np.float32)
    inside = np.all((places > -1) & (places < size), axis=-1)
    places = np.where(inside[..., None], places, np.float32(0))
    first = np.floor(places)
    after = places - first
    before = np.float32(1) - after
    images, head = np.arange(n)[:, None, None], np.arange(heads)
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row = first[..., 1].astype(np.int64) + down
        column = first[..., 0].astype(np.int64) + across
        factor = (after if down else before)[..., 1] * (after if across else before)[..., 0]
        there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        pixels = value[images, row.clip(0, height - 1), column.clip(0, width - 1), head]
        yield pixels, np.where(there, factor * scale, np.float32(0))
