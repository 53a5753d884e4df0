import dataclasses
import math
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.attention import Tokens, attend
from lbwdet.deploy.runtime.arithmetic.proposals import named
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.quantization import rounded
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import ONE, Map, Shapes

MAX_DEPTH = 1 << 14  # channels of a head: sums of so many products fit 32 bits
OTHER_REGION = np.float32(-100)
HIDDEN = np.float32(-1e30)
Numbers = Annotated[tuple[float, ...], Range(-1e6, 1e6), Length(0, 1 << 20)]


@dataclass(frozen=True)
class Attention(Operation):
    """Every pixel becomes a mean of pixels: softmax(scale * q k^T) v, in several heads.

    The channels of query, key and value fall into ``heads`` parts of equal size. Keys and values
    are of one size, queries may be more or fewer. With ``factor = f32(s_q * s_k * scale)`` and
    ``ratio = f32(s_v / s_y)``, computed in float64, for a query i and all keys j in the order
    y, x::

        dot[j]   = sum over the head's channels of (q[i] - zp_q) * (k[j] - zp_k)    # a whole number
        logit[j] = f32(dot[j]) * factor                                             # float32

    in float64, with the ``exp`` of :mod:`lbwdet.deploy.runtime.coders`::

        e[j] = exp(max(logit[j] - max(logit), -700))
        weight[j] = f32(e[j] / (e[0] + e[1] + ...))

    and for each of the head's channels, in float32 as written::

        t = 0;  for each key j:  t = t + f32(v[j] - zp_v) * weight[j]
        y = clamp(round(t * ratio) + zp_y, 0, maximum)

    With a ``window`` of w pixels, keys are those of the query's own window of w * w pixels, in the
    order y, x. Below and to the right of the map, up to whole windows, lie pixels whose keys and
    values are the integers of the reals ``key_padding`` and ``value_padding`` (f32 of the real, by
    the scale in float64, and again f32, is rounded). ``bias`` has a number for each head and for
    how far the query is below and to the right of the key, from -(w - 1) to w - 1:
    ``logit = logit + bias``.

    With a ``shift`` of s, windows begin s pixels further down and right, and what is then left at
    the top (or left) joins what is left at the bottom (or right): pixel (y, x) has the place
    ``(y - s) mod height, (x - s) mod width`` (of all pixels with those around the map), and these
    places fall into windows. Of a side, places before the last window, those of the last window's
    first w - s, and the others are three regions; a key whose region (down or right) is not the
    query's has ``logit = logit + -100``, after the bias.

    With ``across``, maps are those of boxes, of one pixel each, and all boxes' pixels are keys.

    With ``kept``, numbers of pixels (others name none), queries and keys are the same, and where
    neither the query's nor the key's number is among them, ``logit = logit + -1e30``.

    With ``seen``, float32 [1, height, width, queries] of the keys' pixels, so has every key whose
    number for the query is below 0; unless all of them are.
    """

    float32: ClassVar[str] = "attention: a softmax of products, and sums with its weights"

    query: Annotated[str, Reads(Kind.UINT8)]
    key: Annotated[str, Reads(Kind.UINT8)]
    value: Annotated[str, Reads(Kind.UINT8)]
    output: Annotated[str, Writes(Kind.UINT8)]
    heads: Annotated[int, Range(1, 1024)]
    scale: Annotated[float, Range(-1e6, 1e6)]
    window: Annotated[int, Range(0, 64)] = 0
    shift: Annotated[int, Range(0, 63)] = 0
    bias: Numbers = ()
    key_padding: Numbers = ()
    value_padding: Numbers = ()
    across: bool = False
    kept: Annotated[str, Reads(Kind.FLOAT)] | None = None
    seen: Annotated[str, Reads(Kind.FLOAT)] | None = None

    def infer(self, shapes: Shapes) -> Map:
        query, key, value = (shapes.map(name) for name in (self.query, self.key, self.value))
        shapes.expect(
            query.channels == key.channels
            and (key.size, key.rows) == (value.size, value.rows)
            and key.rows == query.rows,
            "queries, keys and values do not fit together",
        )
        shapes.expect(
            query.channels % self.heads == 0 and value.channels % self.heads == 0,
            f"{query.channels} and {value.channels} channels are no {self.heads} heads",
        )
        shapes.expect(
            query.channels // self.heads <= MAX_DEPTH,
            f"a head has {query.channels // self.heads} channels; allowed are {MAX_DEPTH}",
        )
        shapes.expect(
            not self.across or (query.size == key.size == (ONE, ONE) and not self.window),
            "attention across boxes is one of maps of one pixel",
        )
        if self.window:
            self._expect_windows(shapes, query, key, value)
        else:
            shapes.expect(
                not (self.shift or self.bias or self.key_padding or self.value_padding),
                "a shift, a bias and pixels around the map belong to a window, and there is none",
            )
        if self.kept is not None:
            kept = shapes.image_map(self.kept)
            shapes.expect(
                query.size == key.size
                and not (query.rows or self.window)
                and (kept.channels, kept.height) == (1, ONE),
                "pixels are kept where queries are keys, without windows, by a row of numbers",
            )
        if self.seen is not None:
            self._expect_seen(shapes, query, key)
        scales = shapes.quantized(self.query).scale * shapes.quantized(self.key).scale
        shapes.expect_reach(abs(scales * self.scale) * 2.0**31)
        shapes.expect_reach(shapes.ratio(self.value, self.output))
        return dataclasses.replace(query, channels=value.channels, quantization=None)

    def _expect_seen(self, shapes: Shapes, query: Map, key: Map) -> None:
        seen = shapes.image_map(self.seen or "")
        shapes.expect(
            not (query.rows or self.window or self.across or self.kept)
            and seen.size == key.size
            and not any(side.factor for side in query.size)
            and seen.channels == query.height.smallest * query.width.smallest,
            "what queries see is a number for each of them at every key, without windows",
        )

    def _expect_windows(self, shapes: Shapes, query: Map, key: Map, value: Map) -> None:
        shapes.expect(query.size == key.size, "in windows there are as many queries as keys")
        shapes.expect(self.shift < self.window, f"a shift of {self.shift} in {self.window} pixels")
        shapes.expect(
            len(self.bias) in (0, self.heads * (2 * self.window - 1) ** 2),
            f"{len(self.bias)} numbers are no bias of {self.heads} heads",
        )
        given, wanted = (
            (len(self.key_padding), len(self.value_padding)),
            (
                key.channels,
                value.channels,
            ),
        )
        shapes.expect(given == wanted, f"the pixels around the map have {given} channels")

    def compute(self, run: Run) -> Array:
        exact = self.output in run.quantizations
        query, key, value = (run.centered(name) for name in (self.query, self.key, self.value))
        factor, ratio = np.float32(self._factor(run)), run.ratio(self.value, self.output)
        if not query.size:
            result = np.zeros((*query.shape[:3], value.shape[-1]), np.float32)
        elif not self.window:
            tokens = Tokens(*map(self._tokens, (query, key, value)))
            hidden = self._hidden(run)
            added = None if hidden is None else np.where(hidden, HIDDEN, np.float32(0))[None]
            found = attend(tokens, factor, regions=added, exact=exact)
            result = found.reshape(*query.shape[:3], value.shape[-1])
        else:
            result = self._windows(run, query, key, value, factor, exact)
        return run.store(self.output, result * ratio)

    def _hidden(self, run: Run) -> Array | None:
        """bool [queries, keys]: of two that are not kept, or of what is not seen."""
        queries = math.prod(run.values[self.query].shape[1:3])
        if self.kept is not None:
            kept = named(run.values[self.kept], queries)
            return np.asarray(~(kept[:, None] | kept))
        if self.seen is None:
            return None
        hidden = run.values[self.seen].reshape(-1, queries).T < 0
        return np.asarray(hidden & ~hidden.all(1, keepdims=True))

    def _tokens(self, x: Array) -> Array:
        """[n, height, width, channels] as [n, pixels, heads, channels of a head]."""
        n, height, width, channels = x.shape
        images, pixels = (1, n) if self.across else (n, height * width)
        return x.reshape(images, pixels, self.heads, channels // self.heads)

    def _windows(
        self, run: Run, query: Array, key: Array, value: Array, factor: np.float32, exact: bool
    ) -> Array:
        _, height, width, _ = query.shape
        around = (
            np.zeros(query.shape[-1], np.float32),  # nobody reads what comes of these
            self._centered(run, self.key, self.key_padding),
            self._centered(run, self.value, self.value_padding),
        )
        padded = [self._padded(x, p) for x, p in zip((query, key, value), around, strict=True)]
        n, *sides, channels = padded[2].shape
        cut = Tokens(*(self._tokens(self._cut(x)) for x in padded))
        found = attend(cut, factor, self._bias(), self._regions(sides), exact)
        w = self.window
        found = found.reshape(n, sides[0] // w, sides[1] // w, w, w, channels)
        found = found.transpose(0, 1, 3, 2, 4, 5).reshape(n, *sides, channels)
        return np.roll(found, (self.shift, self.shift), (1, 2))[:, :height, :width]

    def _centered(self, run: Run, name: str, reals: tuple[float, ...]) -> Array:
        """``f32(q - zero_point)`` of what a value has around the map; in reals, the reals."""
        stored = self._stored(run, name, reals)
        if name not in run.quantizations:
            return stored
        return stored.astype(np.float32) - np.float32(run.zero_point(name))

    def _stored(self, context: Context, name: str, reals: tuple[float, ...]) -> Array:
        numbers = np.array(reals, np.float32)
        quantization = context.quantizations.get(name)
        if quantization is None:
            return numbers
        steps = numbers.astype(np.float64) / quantization.scale
        return rounded(steps.astype(np.float32), quantization)

    def _padded(self, x: Array, pixel: Array) -> Array:
        n, *sides, channels = x.shape
        whole = [-(-side // self.window) * self.window for side in sides]
        found = np.broadcast_to(pixel, (n, *whole, channels)).copy()
        found[:, : sides[0], : sides[1]] = x
        return found

    def _cut(self, x: Array) -> Array:
        """[n, height, width, channels] as [n * windows, w, w, channels]."""
        n, height, width, channels = x.shape
        w = self.window
        x = np.roll(x, (-self.shift, -self.shift), (1, 2))
        down, across = height // w, width // w
        x = x.reshape(n, down, w, across, w, channels).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n * down * across, w, w, channels)

    def _bias(self) -> Array | None:
        """[heads, queries, keys]."""
        if not self.bias:
            return None
        w = self.window
        table = np.array(self.bias, np.float32).reshape(self.heads, 2 * w - 1, 2 * w - 1)
        y, x = np.divmod(np.arange(w * w), w)
        return table[:, y[:, None] - y + w - 1, x[:, None] - x + w - 1]

    def _regions(self, sides: list[int]) -> Array | None:
        """[windows, queries, keys]: what is added to the logits of other regions."""
        if not self.shift:
            return None
        of_side = []
        for side in sides:
            place = np.arange(side)
            first, second = (place >= side - end for end in (self.window, self.shift))
            of_side.append(first.astype(np.int64) + second)
        region = (of_side[0][:, None] * 3 + of_side[1])[None, :, :, None]
        w = self.window
        cut = region.reshape(sides[0] // w, w, sides[1] // w, w).transpose(0, 2, 1, 3)
        rows = cut.reshape(-1, w * w)
        return np.where(rows[:, :, None] == rows[:, None], np.float32(0), OTHER_REGION)

    def constants(self, context: Context) -> dict[str, Constant]:
        return {
            "factor": self._factor(context),
            "ratio": float(context.ratio(self.value, self.output)),
            "padding_key": self._stored(context, self.key, self.key_padding),
            "padding_value": self._stored(context, self.value, self.value_padding),
        }

    def _factor(self, context: Context) -> float:
        scales = context.scale(self.query) * context.scale(self.key)
        return float(np.float32(scales * self.scale))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        heads, window = int(random.integers(1, 4)), int(random.choice([0, 0, 1, 3, 4]))
        channels = [heads * int(count) for count in random.integers(1, 20, 2)]
        across = not window and bool(random.random() < 0.4)
        kept = None if window or across or random.integers(2) else "kept"
        seen = None if window or across or kept or random.integers(2) else "seen"
        n = 1 if kept or seen else int(random.integers(1, 9 if across else 3))
        sides = [[1, 1], [1, 1]] if across else random.integers(1, 11, (2, 2)).tolist()
        if window or kept:
            sides[1] = sides[0]
        values = {
            name: random_cases.codes(random, (n, *side, count))
            for name, side, count in zip(
                "qkv",
                (sides[0], sides[1], sides[1]),
                (channels[0], channels[0], channels[1]),
                strict=True,
            )
        }
        quantizations = {
            name: random_cases.quantization_of(random, x) for name, x in values.items()
        }
        quantizations["y"] = random_cases.output_quantization(random)
        scale = float(random.choice([0.001, 0.02, 1.0]))
        operation = cls("q", "k", "v", "y", heads, scale, across=across)
        if kept is not None:
            operation = dataclasses.replace(operation, kept=kept)
            numbers = random.integers(-1, math.prod(sides[0]) + 1, (1, 1, 7, 1))
            values[kept] = numbers.astype(np.float32)
        if seen is not None:
            operation = dataclasses.replace(operation, seen=seen)
            # Some queries see nothing, which is as if they saw everything.
            level = random.choice([-9, 0, 0, 9], math.prod(sides[0]))
            values[seen] = random.normal(level, 1, (1, *sides[1], len(level))).astype(np.float32)
        if window:
            offsets = heads * (2 * window - 1) ** 2 if random.integers(2) else 0
            key, value = (tuple(random.normal(0, 1, count).tolist()) for count in channels)
            operation = dataclasses.replace(
                operation,
                window=window,
                shift=int(random.integers(window)),
                bias=tuple(random.normal(0, 1, offsets).tolist()),
                key_padding=key,
                value_padding=value,
            )
        return Example(operation, values, quantizations)
