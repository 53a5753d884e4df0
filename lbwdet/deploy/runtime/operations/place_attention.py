from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.attention import softmax_in_order
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

Numbers = Annotated[tuple[float, ...], Range(-1e6, 1e6), Length(1, 1 << 20)]


@dataclass(frozen=True)
class PlaceAttention(Operation):
    """Every pixel becomes a mean of pixels, weighted by how far away each of them is.

    ``query`` uint8 [n, h, h, C] and ``value`` uint8 [n, k, l, D], of sizes that are the same for
    every image; the channels of both fall into ``heads`` parts of equal size. Value (j, i) lies at
    the query (j * step, i * step). For every distance that there is, beginning with the smallest,
    -(l - 1) * step, ``across`` has C numbers, and ``down`` likewise, from -(k - 1) * step on. With
    f32 of each times ``s_q``, computed in float64, for the query (y, x) and a head, over its
    channels c in order, in float32 as written::

        a[i] = 0;  a[i] = a[i] + f32(q[c] - zp_q) * across[x - i * step][c]
        d[j] = 0;  d[j] = d[j] + f32(p[c] - zp_q) * down[y - j * step][c]
        logit[j, i] = d[j] + a[i]

    where q is the query itself, and p the one at (x, y): so mmcv's attention, of which this is a
    part, has been trained. The weights, and the mean of the values in the order j, i, are those of
    ``Attention``.
    """

    float32: ClassVar[str] = "attention: products with places, a softmax, sums with its weights"

    query: Annotated[str, Reads(Kind.UINT8)]
    value: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8)]
    across: Numbers
    down: Numbers
    heads: Annotated[int, Range(1, 1024)]
    step: Annotated[int, Range(1, 64)]

    def infer(self, shapes: Shapes) -> Map:
        query, value = shapes.map(self.query), shapes.map(self.value)
        shapes.expect(
            not any(side.factor for side in (*query.size, *value.size)),
            "its maps have another size for other images",
        )
        shapes.expect(query.height == query.width, "its queries are no square")
        shapes.expect(query.rows == value.rows, "queries and values are not of the same boxes")
        shapes.expect(
            query.channels % self.heads == 0 and value.channels % self.heads == 0,
            f"{query.channels} and {value.channels} channels are no {self.heads} heads",
        )
        for numbers, queries, values in (
            (self.across, query.width, value.width),
            (self.down, query.height, value.height),
        ):
            distances = queries.smallest + (values.smallest - 1) * self.step
            shapes.expect(
                len(numbers) == distances * query.channels,
                f"{len(numbers)} numbers for {distances} distances and {query.channels} channels",
            )
        largest = max(map(abs, (*self.across, *self.down)))
        shapes.expect_reach(largest * shapes.quantized(self.query).scale * 255 * query.channels)
        shapes.expect_reach(shapes.ratio(self.value, self.output))
        return replace(query, channels=value.channels, quantization=None)

    def compute(self, run: Run) -> Array:
        query, value = run.centered(self.query), run.centered(self.value)
        n, height, width, channels = query.shape
        rows, columns, depth = value.shape[1:]
        heads = query.reshape(n, height, width, self.heads, channels // self.heads)
        across, down = (
            table.reshape(-1, self.heads, channels // self.heads) for table in self._tables(run)
        )
        # [h or w, k or l, heads, channels of a head]
        of_x, of_y = (
            table[np.arange(side)[:, None] + self.step * np.arange(count)[::-1]]
            for table, side, count in ((across, width, columns), (down, height, rows))
        )
        a = np.zeros((n, height, width, self.heads, columns), np.float32)
        d = np.zeros((n, height, width, self.heads, rows), np.float32)
        for c in range(channels // self.heads):
            q, p = heads[..., c, None], heads.transpose(0, 2, 1, 3, 4)[..., c, None]
            a = a + q * of_x[..., c].transpose(0, 2, 1)
            d = d + p * of_y[..., c].transpose(0, 2, 1)[:, None]
        logits = d[..., None] + a[..., None, :]
        weights = softmax_in_order(logits.reshape(n, height, width, self.heads, rows * columns))
        values = value.reshape(n, 1, 1, rows * columns, self.heads, depth // self.heads)
        total = np.zeros((n, height, width, self.heads, depth // self.heads), np.float32)
        for j in range(rows * columns):
            total = total + values[:, :, :, j] * weights[..., j, None]
        real = total.reshape(n, height, width, depth) * run.ratio(self.value, self.output)
        return run.store(self.output, real)

    def constants(self, context: Context) -> dict[str, Constant]:
        across, down = self._tables(context)
        ratio = float(context.ratio(self.value, self.output))
        return {"across_table": across, "down_table": down, "ratio": ratio}

    def _tables(self, context: Context) -> tuple[Array, Array]:
        """``across`` and ``down`` in steps of the query."""
        scale = context.scale(self.query)
        across, down = (
            (np.array(numbers, np.float64) * scale).astype(np.float32)
            for numbers in (self.across, self.down)
        )
        return across, down

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        heads, step, n = (int(random.integers(1, most)) for most in (4, 4, 4))
        channels, depth = (heads * int(count) for count in random.integers(1, 9, 2))
        height, rows, columns = width, *_ = random.integers(1, 7, 3).tolist()
        values = {
            "q": random_cases.codes(random, (n, height, width, channels)),
            "v": random_cases.codes(random, (n, rows, columns, depth)),
        }
        quantizations = {
            name: random_cases.quantization_of(random, x) for name, x in values.items()
        }
        quantizations["y"] = random_cases.output_quantization(random)
        across, down = (
            tuple(random.normal(0, 0.3, (side + (count - 1) * step) * channels).tolist())
            for side, count in ((width, columns), (height, rows))
        )
        return Example(cls("q", "v", "y", across, down, heads, step), values, quantizations)
