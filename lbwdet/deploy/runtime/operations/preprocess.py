from typing import Annotated

import numpy as np

from lbwdet.deploy.runtime.arithmetic.resample import resample
from lbwdet.deploy.runtime.arithmetic.resize import resize
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.quantization import Quantization, rounded
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Map, Shapes, Side

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocess(Operation):
    """The network's input from an image: resize, normalize, quantize, pad.

    1. Resize [H, W, 3] uint8 by bilinear interpolation (half-pixel centres, as
       OpenCV). With ``keep_ratio``, by the factor ``min(long / max(H, W), short /
       min(H, W))`` in float64, where ``long, short`` are the larger and the smaller
       entry of ``size``, to ``max(int(side * factor + 0.5), 1)``; else to ``size`` =
       (width, height). An image that already has the size stays as it is.
       Source coordinate of target index i: ``f = f32((i + 0.5) * (source / target) - 0.5)``,
       ``j = floor(f)``, weight of pixel j+1: ``a = rint((f - j) * 2048)``, of j: ``2048 - a``;
       indices are clamped to the image. Along the width: ``r = p[j] * (2048 - a) + p[j+1] * a``;
       then along the height: ``((r[j] >> 4) * (2048 - a) >> 16) + ((r[j+1] >> 4) * a >> 16)``,
       plus 2, ``>> 2``. All integers, and the bytes of ``cv2.resize``, which training used.
       With ``antialias`` the bytes of Pillow's ``resize``: along an axis, first the width, where
       sizes differ, of pixels i and target index t, in float64 as written::

           step = source / target;  reach = max(step, 1);  center = (t + 0.5) * step
           first = max(trunc(center - reach + 0.5), 0)
           end   = min(trunc(center + reach + 0.5), source)             # i from first, before end
           share[i]  = max(1 - abs((i - center + 0.5) * (1 / reach)), 0)
           weight[i] = trunc(0.5 + share[i] / sum of all, in order * 2**22)

       and in integers ``min((2**21 + sum of weight[i] * p[i]) >> 22, 255)``.
    2. Reverse the channels if ``to_rgb`` (images come as BGR).
    3. ``q = clamp(rint((pixel - mean[c]) / std[c] / scale) + zero_point, 0, maximum)``
       in float64: one table of 256 entries per channel.
    4. Pad at the right and the bottom, with what step 3 makes of the pixel ``pad_pixel``
       (in the order of the given image's channels; step 2 reverses it): to a square, if
       ``pad_to_square``, then to at least ``pad_size`` = (width, height), then to multiples of
       ``pad_divisor``. Boxes are clipped to this size; without such pixels, to that of the
       resized image.
    5. Pad there with ``clamp(rint(pad_value / scale) + zero_point, 0, maximum)``, a number of
       the network's input, to multiples of ``size_divisor``, at least ``least_multiple`` times it:
       there are networks that run on no smaller images.

    Output: uint8 [1, h, w, 3].
    """

    output: Annotated[str, Writes(Kind.UINT8)]
    size: Annotated[tuple[int, int], Range(1, 1 << 15)]
    keep_ratio: bool
    mean: Annotated[Three, Range(-1e6, 1e6)]
    std: Annotated[Three, Range(1e-6, 1e6)]
    to_rgb: bool
    size_divisor: Annotated[int, Range(1, 1 << 10)]
    pad_to_square: bool = False
    pad_size: Annotated[tuple[int, int], Range(0, 1 << 15)] = (0, 0)
    pad_pixel: Annotated[tuple[int, int, int], Range(0, 255)] = (0, 0, 0)
    pad_value: Annotated[float, Range(-1e6, 1e6)] = 0.0
    pad_divisor: Annotated[int, Range(1, 1 << 10)] = 1
    least_multiple: Annotated[int, Range(1, 64)] = 1
    antialias: bool = False

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input before padding."""
        if not self.keep_ratio:
            return self.size[1], self.size[0]
        factor = min(max(self.size) / max(height, width), min(self.size) / min(height, width))
        return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Height and width with the pixels added that ``resized`` ones get."""
        if self.pad_to_square:
            height = width = max(height, width)
        height, width = max(height, self.pad_size[1]), max(width, self.pad_size[0])
        return _multiple(height, self.pad_divisor), _multiple(width, self.pad_divisor)

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output, of ``padded`` ones."""
        return self._enough(height), self._enough(width)

    def table(self, quantization: Quantization | None) -> Array:
        """[3, 256]: what each pixel of each channel becomes: uint8, or float32 if in reals."""
        pixel = np.arange(256, dtype=np.float64)
        mean, std = (np.array(three)[:, None] for three in (self.mean, self.std))
        real = (pixel - mean) / std
        return _stored(real, quantization)

    def fill(self, quantization: Quantization | None) -> Array:
        """[2, 3]: of each channel what is padded with: the pixel's, then the value's number."""
        pixel = self.pad_pixel[::-1] if self.to_rgb else self.pad_pixel
        values = _stored(np.full(3, self.pad_value), quantization)
        return np.stack([self.table(quantization)[range(3), pixel], values])

    @property
    def input_range(self) -> tuple[float, float]:
        """Least and largest real number that a pixel can become, or that is padded with."""
        ends = [
            (pixel - mean) / std
            for mean, std in zip(self.mean, self.std, strict=True)
            for pixel in (0, 255)
        ]
        return min(*ends, self.pad_value), max(*ends, self.pad_value)

    def infer(self, shapes: Shapes) -> Map:
        height, width = self._side(1), self._side(0)
        return Map(3, height, width)

    @property
    def only_size(self) -> tuple[int, int] | None:
        """Height and width of the output, if they are the same for every image."""
        height, width = self._side(1), self._side(0)
        return None if height.factor or width.factor else (height.smallest, width.smallest)

    def _side(self, axis: int) -> Side:
        """Of the output: the same for every image where that is sure, or a multiple of some."""
        longest = max(self.size) if self.keep_ratio else self.size[axis]
        if not self.pad_to_square and (not self.keep_ratio or longest <= self.pad_size[axis]):
            padded = _multiple(max(longest, self.pad_size[axis]), self.pad_divisor)
            return Side(0, self._enough(padded))
        finer = self.pad_divisor % self.size_divisor == 0 and self.least_multiple == 1
        step = self.pad_divisor if finer else self.size_divisor
        return Side(step, (self.least_multiple - 1) * step)

    def _enough(self, side: int) -> int:
        """The side of the output, of one with pixels added."""
        return _multiple(max(side, self.least_multiple * self.size_divisor), self.size_divisor)

    def compute(self, run: Run) -> Array:
        run.resized = height, width = self.resized(*run.image.shape[:2])
        run.bounds = bottom, right = self.padded(height, width)
        image = (resample if self.antialias else resize)(run.image, *run.resized)
        if self.to_rgb:
            image = image[:, :, ::-1]
        quantization = run.quantizations.get(self.output)
        table, (pixel, value) = self.table(quantization), self.fill(quantization)
        sides = self.sides(*run.bounds)
        values = np.empty((1, *sides, 3), table.dtype)
        values[:] = value
        values[0, :bottom, :right] = pixel
        for channel in range(3):
            values[0, :height, :width, channel] = table[channel][image[:, :, channel]]
        return values

    def constants(self, context: Context) -> dict[str, Constant]:
        quantization = context.quantizations[self.output]
        return {"table": self.table(quantization), "fill": self.fill(quantization)}

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        height, width, long, short = (int(side) for side in random.integers(1, 80, 4))
        operation = cls(
            "y",
            size=(long, short),
            keep_ratio=bool(random.integers(2)),
            mean=(120.0, 110.5, 100.25),
            std=(58.0, 57.0, 1.0),
            to_rgb=bool(random.integers(2)),
            size_divisor=int(random.choice([1, 2, 32])),
            pad_to_square=bool(random.integers(2)),
            pad_size=(int(random.integers(100)), int(random.integers(100))),
            pad_pixel=tuple(random.integers(0, 256, 3).tolist()),
            pad_value=float(random.choice([0.0, 1.5])),
            pad_divisor=int(random.choice([1, 4, 48])),
            least_multiple=int(random.choice([1, 1, 3])),
            antialias=bool(random.integers(2)),
        )
        image = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
        quantization = Quantization(0.015625, int(random.integers(256)))
        return Example(
            operation,
            {},
            {"y": quantization},
            image=image,
            resized=operation.resized(height, width),
        )


def _multiple(side: int, divisor: int) -> int:
    """The next multiple of the divisor."""
    return side + -side % divisor


def _stored(real: Array, quantization: Quantization | None) -> Array:
    """float64 numbers as uint8, or as float32 if there is no quantization."""
    if quantization is None:
        return np.asarray(real.astype(np.float32))
    return rounded(np.rint(real / quantization.scale), quantization)
