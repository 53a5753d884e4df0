from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import sigmoid
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

Pair = tuple[int, int]


@dataclass(frozen=True)
class DeformedSamples(Operation):
    """What the kernel of a deformable convolution reads: a convolution of one pixel follows.

    The kernel has ``K = kh * kw`` taps, ``k = ky * kw + kx``, and every output pixel (y, x) reads
    each of them at a place of its own. ``offsets`` is float32, of the output's size: its channels
    are, for each of the ``deform_groups`` parts d of the input's channels, and for each tap, a
    shift along y, then one along x; ``modulated``, they are followed by a logit for each part and
    tap, in the same order. In float32 as written::

        v = f32(y * stride - padding + ky * dilation) + offsets[2 * (d * K + k)]
        u = f32(x * stride - padding + kx * dilation) + offsets[2 * (d * K + k) + 1]
        j = floor(v);  b = v - j;  i = floor(u);  a = u - i
        m = sigmoid(logit)                                   # only if modulated
        f[0], f[1] = ((1 - b) * (1 - a)) * m * ratio, ((1 - b) * a) * m * ratio
        f[2], f[3] = (b * (1 - a)) * m * ratio, (b * a) * m * ratio
        t = f32(x[j, i] - zp) * f[0] + f32(x[j, i + 1] - zp) * f[1]
        t = t + f32(x[j + 1, i] - zp) * f[2];  t = t + f32(x[j + 1, i + 1] - zp) * f[3]
        y = clamp(round(t) + zp_y, 0, maximum)

    with ``ratio = f32(s_x / s_y)`` and the ``sigmoid`` of
    :mod:`lbwdet.deploy.runtime.arithmetic.boxes`. Pixels outside of the map have ``f = 0``; so have
    all four unless -1 < v < h and -1 < u < w, and if the logit is no number.

    The output has ``K`` times the input's channels: for each of the ``groups`` parts of the
    convolution's channels, and each tap, the part's channels. These are bilinear samples of DCN
    (arXiv 1703.06211) and DCNv2 (1811.11168).
    """

    float32: ClassVar[str] = "bilinear sampling"

    input: Annotated[str, Reads(Kind.UINT8, layer="output")]
    offsets: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.UINT8)]
    kernel: Annotated[Pair, Range(1, 128)]
    stride: Annotated[Pair, Range(1, 128)] = (1, 1)
    padding: Annotated[Pair, Range(0, 128)] = (0, 0)
    dilation: Annotated[Pair, Range(1, 128)] = (1, 1)
    groups: Annotated[int, Range(1, 1 << 16)] = 1
    deform_groups: Annotated[int, Range(1, 1 << 16)] = 1
    modulated: bool = False

    @property
    def taps(self) -> int:
        """Of the kernel."""
        return self.kernel[0] * self.kernel[1]

    def infer(self, shapes: Shapes) -> Map:
        source, offsets = shapes.map(self.input), shapes.map(self.offsets)
        for count, name in ((self.groups, "groups"), (self.deform_groups, "deform groups")):
            shapes.expect(
                source.channels % count == 0,
                f"{source.channels} channels do not fall into {count} {name}",
            )
        extents = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        window = tuple(zip(extents, self.stride, self.padding, strict=True))
        result = shapes.windowed(source, window)
        wanted = (2 + self.modulated) * self.deform_groups * self.taps
        shapes.expect(
            replace(offsets, channels=result.channels) == result and offsets.channels == wanted,
            f"the offsets are not {wanted} channels of the output's size",
        )
        # Twice: weights of a sample sum up to one at most, but for their rounding.
        shapes.expect_reach(2 * shapes.ratio(self.input, self.output))
        return replace(result, channels=source.channels * self.taps)

    def compute(self, run: Run) -> Array:
        x, offsets = run.centered(self.input), run.values[self.offsets]
        n, height, width, channels = x.shape
        shifts = self.deform_groups * self.taps
        pairs = offsets[..., : 2 * shifts].reshape(*offsets.shape[:3], shifts, 2)
        parts = np.arange(channels) // (channels // self.deform_groups)
        ratio, images = run.ratio(self.input, self.output), np.arange(n)[:, None, None]
        columns = np.zeros((*offsets.shape[:3], self.taps, channels), np.float32)
        for shift in range(shifts):
            part, tap = divmod(shift, self.taps)
            place = self._places(offsets.shape[1:3], tap) + pairs[..., shift, :]
            size = np.array([height, width], np.float32)
            inside = np.all((place > -1) & (place < size), axis=-1)
            scale = np.broadcast_to(ratio, inside.shape)
            if self.modulated:
                logits = offsets[..., 2 * shifts + shift]
                inside &= ~np.isnan(logits)
                mask = sigmoid(np.where(inside, logits, np.float32(0)))
            place = np.where(inside[..., None], place, np.float32(0))
            first = np.floor(place)
            after = place - first
            before = np.float32(1) - after
            of_part, total = x[..., parts == part], None
            for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
                row = first[..., 0].astype(np.int64) + down
                column = first[..., 1].astype(np.int64) + across
                factor = (after if down else before)[..., 0] * (after if across else before)[..., 1]
                if self.modulated:
                    factor = factor * mask
                there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
                factor = np.where(there, factor * scale, np.float32(0))
                pixels = of_part[images, row.clip(0, height - 1), column.clip(0, width - 1)]
                term = pixels * factor[..., None]
                total = term if total is None else total + term
            columns[..., tap, parts == part] = total
        of_group = (*offsets.shape[:3], self.taps, self.groups, channels // self.groups)
        grouped = columns.reshape(of_group).swapaxes(3, 4)
        return run.store(self.output, grouped.reshape(*offsets.shape[:3], self.taps * channels))

    def _places(self, size: tuple[int, ...], tap: int) -> Array:
        """float32 [h, w, 2]: where the tap would be without offsets."""
        grid = np.moveaxis(np.indices(size[:2]), 0, -1) * np.array(self.stride)
        steps = np.array(divmod(tap, self.kernel[1])) * np.array(self.dilation)
        return np.asarray((grid - np.array(self.padding) + steps).astype(np.float32))

    def constants(self, context: Context) -> dict[str, Constant]:
        return {"ratio": float(context.ratio(self.input, self.output))}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        kernel, padding, dilation, stride, x = random_cases.window(random)
        groups, parts = (int(count) for count in random.choice([1, 1, 2, 3, 4], 2))
        x = np.repeat(x[..., :2], groups * parts * int(random.integers(1, 5)), -1)
        sides = [
            (side + 2 * p - (k - 1) * d - 1) // s + 1
            for side, p, k, d, s in zip(
                x.shape[1:3], padding, kernel, dilation, stride, strict=True
            )
        ]
        modulated = bool(random.integers(2))
        shifts = parts * kernel[0] * kernel[1]
        offsets = random.normal(0, 2, (x.shape[0], *sides, (2 + modulated) * shifts))
        if random.random() < 0.3:
            offsets = np.rint(offsets)  # on pixels, and on the border
        offsets = offsets.astype(np.float32)
        if random.random() < 0.3:
            hostile = [np.inf, -np.inf, 1e30, -1e30, 2.0**31, -(2.0**63), -0.0, 1e-40]
            struck = random.random(offsets.shape) < 0.1
            offsets[struck] = random.choice(np.array(hostile, np.float32), int(struck.sum()))
        quantizations = {
            "x": random_cases.quantization_of(random, x),
            "y": random_cases.output_quantization(random),
        }
        operation = cls(
            input="x",
            offsets="offsets",
            output="y",
            kernel=kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            deform_groups=parts,
            modulated=modulated,
        )
        return Example(operation, {"x": x, "offsets": offsets}, quantizations)
