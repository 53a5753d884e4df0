from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.roi_axis import axis_weights, levels_of, pool, scaled
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes, Side


@dataclass(frozen=True)
class RoIAlign(Operation):
    """Features of boxes: uint8 maps and boxes to uint8 [n, size, size, c].

    Level of a box: with ``s = sqrt(w * h) / finest_scale + 1e-6`` in float32, the number
    of l >= 1 with s >= 2**l, at most the last one.

    With a ``box_scale`` that is not 1 in float32, what is read is larger than the box by that
    factor, in float32: ``x1' = (x1 + x2) * 0.5 - ((x2 - x1) * box_scale) * 0.5``, ``x2'`` alike
    with a sum, and so are y1' and y2'.

    Along each axis, in float32, with ``scale = 1 / stride`` of the level: ``start = x1 *
    scale - 0.5``, ``extent = x2 * scale - 0.5 - start``, ``bin = extent / size``, ``grid =
    ceil(extent / size)``, or ``sampling_ratio`` if that is above 0. Sample i of bin b lies
    at ``u = start + b * bin + (i + 0.5) * bin / grid``. Outside of -1 .. length it does not
    count; else ``u = max(u, 0)``, ``j = floor(u)``, and if ``j >= length - 1`` both taps are
    the last pixel with ``u = j``. Tap j gets ``1 - (u - j)``, then tap j+1 ``u - j``,
    added up over the samples in order, per tap; every tap is at last multiplied by
    ``f32(1 / grid)``. Boxes with grid <= 0, or whose extent is negative, above 2**20 or no number,
    give zeros. This is RoIAlign with the two axes' weights ``wx[b][column]``, ``wy[b][row]`` taken
    apart. Unless ``aligned``, 0.5 is not subtracted, and the extent is at least 1. Then::

        line[row] = sum over columns of wx * f32(q - zp)     # ascending, from 0
        t         = sum over rows of wy * line[row]          # ascending, from 0
        y         = clamp(round(t * f32(s_level / s_y)) + zp_y, 0, maximum)
    """

    float32: ClassVar[str] = "bilinear sampling"

    inputs: Annotated[tuple[str, ...], Reads(Kind.UINT8), Length(1, 16)]
    boxes: Annotated[str, Reads(Kind.BOXES)]
    output: Annotated[str, Writes(Kind.UINT8)]
    strides: Annotated[tuple[int, ...], Range(1, 1 << 15)]
    size: Annotated[int, Range(1, 1024)]
    sampling_ratio: Annotated[int, Range(0, 64)]
    finest_scale: Annotated[float, Range(1e-3, 1e6)]
    aligned: bool = True
    box_scale: Annotated[float, Range(1e-3, 1e3)] = 1.0

    def infer(self, shapes: Shapes) -> Map:
        shapes.per_level(self.inputs, self.strides)
        maps = [shapes.image_map(name) for name in self.inputs]
        channels = {value.channels for value in maps}
        shapes.expect(len(channels) == 1, f"inputs of {sorted(channels)} channels")
        # Twice: weights of a bin sum up to one, but for their rounding.
        shapes.expect_reach(2 * max(shapes.ratio(name, self.output) for name in self.inputs))
        side = Side(0, self.size)
        return Map(channels.pop(), side, side, rows=shapes.origin(self.boxes))

    def compute(self, run: Run) -> Array:
        boxes, size = run.values[self.boxes], self.size
        first = run.values[self.inputs[0]]
        pooled = np.zeros((len(boxes), size, size, first.shape[-1]), np.float32)
        levels, ratios = levels_of(boxes, self.finest_scale, len(self.inputs)), self._ratios(run)
        boxes = scaled(boxes, self.box_scale)
        for level in np.unique(levels):
            features, stride = run.centered(self.inputs[level])[0], self.strides[level]
            for index in np.flatnonzero(levels == level):
                x1, y1, x2, y2 = boxes[index]
                rows, columns = features.shape[:2]
                weights_y, weights_x = (
                    axis_weights(*ends, stride, size, self.sampling_ratio, length, self.aligned)
                    for ends, length in (((y1, y2), rows), ((x1, x2), columns))
                )
                pooled[index] = pool(features, weights_y, weights_x) * ratios[level]
        return run.store(self.output, pooled)

    def constants(self, context: Context) -> dict[str, Constant]:
        scales = np.array([1 / stride for stride in self.strides], np.float32)
        return {"scales": scales, "ratios": self._ratios(context)}

    def _ratios(self, context: Context) -> Array:
        scales = np.array([context.scale(name) for name in self.inputs])
        return np.asarray((scales / context.scale(self.output)).astype(np.float32))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        levels, channels = int(random.integers(1, 5)), int(random.integers(1, 150))
        height, width = (int(side) for side in random.integers(16, 100, 2))
        strides = tuple(4 << level for level in range(levels))
        values = {
            f"x{level}": random_cases.codes(
                random, (1, -(-height // stride), -(-width // stride), channels)
            )
            for level, stride in enumerate(strides)
        }
        quantizations = {
            name: random_cases.quantization_of(random, value) for name, value in values.items()
        }
        operation = cls(
            inputs=tuple(values),
            boxes="boxes",
            output="y",
            strides=strides,
            size=int(random.integers(1, 8)),
            sampling_ratio=int(random.integers(0, 3)),
            finest_scale=16.0,
            aligned=bool(random.random() < 0.7),
            box_scale=float(random.choice([1, 1, 1.3])),
        )
        values["boxes"] = random_cases.boxes(random, int(random.integers(0, 9)), height, width)
        quantizations["y"] = random_cases.output_quantization(random)
        return Example(operation, values, quantizations)
