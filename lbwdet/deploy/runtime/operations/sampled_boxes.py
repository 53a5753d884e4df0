from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import anchors
from lbwdet.deploy.runtime.coders import Coder, DeltaCoder, DistanceCoder
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes

Four = tuple[float, float, float, float]

_HALF = np.float32(0.5)


@dataclass(frozen=True)
class SampledBoxes(Operation):
    """Boxes of which each side is read at a place of its own: distances from the prior's middle.

    At pixel (y, x) of a map, ``coder`` decodes a box B[y, x] from ``deltas`` float32 [1, h, w, 4]
    and from the prior, which is ``prior`` moved by ``f32(x) * f32(stride)`` to the right and by
    ``f32(y) * f32(stride)`` down. Its side c (of x1, y1, x2, y2) becomes a sample of the sides c
    of all boxes, at a place that ``offsets`` float32 [1, h, w, 8] says. In float32 as written::

        v = f32(y) + offsets[2 * c];  u = f32(x) + offsets[2 * c + 1]
        j = floor(v);  b = v - j;  i = floor(u);  a = u - i
        t[c] = B[j, i] * ((1 - b) * (1 - a)) + B[j, i + 1] * ((1 - b) * a)
        t[c] = t[c] + B[j + 1, i] * (b * (1 - a));  t[c] = t[c] + B[j + 1, i + 1] * (b * a)

    The term of a pixel outside of the map is 0; all four are unless -1 < v < h and -1 < u < w.
    Where ``t[0] > t[2]`` or ``t[1] > t[3]``, t is B[y, x].

    Output: float32 [1, h, w, 4], with the middle ``(px, py)`` of the prior, ``(x1 + x2) * 0.5``:
    ``px - t[0]``, ``py - t[1]``, ``t[2] - px``, ``t[3] - py``. TOOD (arXiv 2108.07755).
    """

    float32: ClassVar[str] = "sampled boxes"

    deltas: Annotated[str, Reads(Kind.FLOAT)]
    offsets: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.FLOAT)]
    coder: Coder
    stride: Annotated[int, Range(1, 1 << 15)]
    prior: Annotated[Four, Range(-1e6, 1e6)]

    def infer(self, shapes: Shapes) -> Map:
        deltas, offsets = shapes.image_map(self.deltas), shapes.image_map(self.offsets)
        shapes.expect(
            self.coder.numbers == 4 and not self.coder.clip,
            "a coder of other than 4 numbers, or one that clips",
        )
        shapes.expect(
            deltas.size == offsets.size and (deltas.channels, offsets.channels) == (4, 8),
            f"{deltas.channels} deltas and {offsets.channels} offsets, which must be 4 and 8, or "
            "maps of two sizes",
        )
        return replace(deltas, channels=4, quantization=None)

    def compute(self, run: Run) -> Array:
        _, height, width, _ = run.values[self.deltas].shape
        priors = anchors([self.prior], self.stride, height, width).reshape(height, width, 4)
        boxes = self.coder.decode(priors, run.values[self.deltas], 0, 0, self.stride)
        offsets = run.values[self.offsets]
        sides = [_sampled(boxes, offsets, side) for side in range(4)]
        sampled = np.stack(sides, -1)
        turned = (sampled[..., :2] > sampled[..., 2:]).any(-1, keepdims=True)
        sampled = np.where(turned, boxes, sampled)
        middle = (priors[..., :2] + priors[..., 2:]) * _HALF
        found = np.concatenate([middle - sampled[..., :2], sampled[..., 2:] - middle], -1)
        return np.asarray(found.astype(np.float32))

    def constants(self, context: Context) -> dict[str, Constant]:
        return dict(self.coder.constants())

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        height, width = random.integers(1, 12, 2).tolist()
        offsets = random.normal(0, 2, (1, height, width, 8))
        if random.random() < 0.3:
            offsets = np.rint(offsets)  # on pixels, and on the border
        offsets = offsets.astype(np.float32)
        if random.random() < 0.3:
            hostile = np.array([np.inf, -np.inf, 1e30, -(2.0**63), -0.0], np.float32)
            struck = random.random(offsets.shape) < 0.1
            offsets[struck] = random.choice(hostile, int(struck.sum()))
        deltas = random.normal(0, 1, (1, height, width, 4)).astype(np.float32)
        coders: list[Coder] = [
            DistanceCoder(clip=False, exponential=True, of_prior=True),
            DeltaCoder((0.0,) * 4, (0.1, 0.1, 0.2, 0.2), 16 / 1000, clip=False),
        ]
        half = float(np.float32(random.uniform(1, 20)))
        operation = cls(
            deltas="deltas",
            offsets="offsets",
            output="y",
            coder=coders[int(random.integers(2))],
            stride=int(random.choice([4, 8, 128])),
            prior=(-half, 4 - half, half, 4 + half),
        )
        return Example(operation, {"deltas": deltas, "offsets": offsets})


def _sampled(boxes: Array, offsets: Array, side: int) -> Array:
    """float32 [n, h, w]: one side of boxes [n, h, w, 4]."""
    _, height, width, _ = boxes.shape
    values, size = boxes[..., side], np.array([height, width], np.float32)
    grid = np.moveaxis(np.indices((height, width)), 0, -1).astype(np.float32)
    place = grid + offsets[..., 2 * side : 2 * side + 2]
    inside = np.all((place > -1) & (place < size), axis=-1)
    place = np.where(inside[..., None], place, np.float32(0))
    first = np.floor(place)
    after = place - first
    before = np.float32(1) - after
    total, images = None, np.arange(len(boxes))[:, None, None]
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row = first[..., 0].astype(np.int64) + down
        column = first[..., 1].astype(np.int64) + across
        factor = (after if down else before)[..., 0] * (after if across else before)[..., 1]
        there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        pixels = values[images, row.clip(0, height - 1), column.clip(0, width - 1)]
        term = np.where(there, pixels * factor, np.float32(0))
        total = term if total is None else total + term
    assert total is not None
    return total
