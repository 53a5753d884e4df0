"""The operations of a lowered detector: what each computes, to the last bit.

A :class:`Program` is a flat list of operations on named values. It has no
shapes: the size of the image is free, the sizes of all values follow from it.

**Values.** Feature maps are uint8 arrays ``[n, h, w, c]`` that stand for the real
numbers ``(q - zero_point) * scale`` (:class:`Quantization`), or float32 arrays of
that shape. Boxes are float32 ``[n, 4]``: x1, y1, x2, y2 in pixels of the resized image.

**Arithmetic.** Integer arithmetic is exact. Where float32 is used, every product,
sum, quotient and square root is rounded by itself to the nearest float32 (ties to
even), in the order written here; no multiplication is fused with an addition. A number
of the program (a threshold, a standard deviation) that meets a float32 is first rounded to
float32.
Therefore every engine that follows this page gives the same bytes.
``rint`` rounds to the nearest integer, ties to even. ``f32`` rounds to float32.
"""

from dataclasses import dataclass
from typing import Literal

MAX_WEIGHT = 64  # |integer weight|: a pair of u8 * s8 products fits int16
WINDOW = 7  # magnitudes 2**0 .. 2**6 that an integer weight can hold


@dataclass(frozen=True)
class Quantization:
    """How a uint8 value stands for real numbers: ``(q - zero_point) * scale``.

    Attributes:
        scale: positive, a float32 number.
        zero_point: 0 to 255; 0 for values that are never negative.
        maximum: largest ``q``: 255 at 8 bits, 15 at 4.
        rounding: of ``real / scale``: to the ``nearest`` integer, or up (``ceil``),
            as activations with a trained resolution have it.
    """

    scale: float
    zero_point: int = 0
    maximum: int = 255
    rounding: Literal["nearest", "ceil"] = "nearest"


@dataclass(frozen=True)
class Preprocess:
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
    2. Reverse the channels if ``to_rgb`` (images come as BGR).
    3. ``q = clamp(rint((pixel - mean[c]) / std[c] / scale) + zero_point, 0, maximum)``
       in float64: one table of 256 entries per channel.
    4. Pad with ``zero_point`` at the right and the bottom to multiples of ``size_divisor``.

    Output: uint8 [1, h, w, 3].
    """

    output: str
    size: tuple[int, int]
    keep_ratio: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    to_rgb: bool
    size_divisor: int


@dataclass(frozen=True)
class Conv:
    """Convolution with everything that follows it: batch norm, residual, ReLU.

    ``layer`` names the weight: integers ``w[o, i, ky, kx]``, \\|w\\| <= 64, a real
    factor per output channel ``weight_scale[o]``, and two float32 vectors,
    ``gain[o]`` and ``bias[o]`` (batch norm, or 1 and the layer's bias)::

        acc = sum over ky, kx, i of (x[y', x', i] - zp_x) * w[o, i, ky, kx]

    in int32, where ``y' = y * stride - padding + ky * dilation`` (x' alike); outside of the
    map the term is 0. With ``s_x``, ``s_y``, ``s_r`` the scales of
    input, output, residual, in float64 rounded once to float32::

        multiplier[o] = f32(s_x * weight_scale[o] * gain[o] / s_y)
        offset[o]     = f32(bias[o] / s_y)
        ratio         = f32(s_r / s_y)

    the output is, in float32 as written::

        t = f32(acc) * multiplier[o] + offset[o]
        t = t + f32(r - zp_r) * ratio                        # only with a residual
        y = clamp(round(t) + zp_y, low, maximum)

    ``round`` is that of the output's quantization; ``low`` is zp_y with ``relu``, else 0.
    For a float32 output s_y = 1 and y = t (no residual; with ``relu``: max(t, 0)).

    The residual ``r`` has the output's shape. With ``upsample`` it may be smaller:
    then pixel (i, j) of it is read at ``(i * h_r) // h, (j * w_r) // w``.

    A fully connected layer is a convolution whose kernel covers its input [n, h, w, c].
    """

    layer: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    relu: bool = False
    residual: str | None = None
    upsample: bool = False


@dataclass(frozen=True)
class MaxPool:
    """Maximum over windows of a uint8 map; outside of the map nothing counts.

    Output size ``(h + 2 * padding - kernel) // stride + 1``. Input and output have the
    same quantization. ``kernel=(1, 1), stride=(2, 2)`` is plain subsampling.
    """

    input: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Requantize:
    """A uint8 map in the integers that one of its readers was trained with.

    A number q of the input stands for all reals that were rounded to it. The output has the
    integer of their middle; zero stays zero::

        middle   = q - zp_x             if the input is rounded to nearest, or q = zp_x
                   q - zp_x - 0.5       if it is rounded up
        table[q] = clamp(round(middle * s_x / s_y) + zp_y, 0, maximum)
        y        = table[x]

    in float64 (the product is exact, the quotient is rounded), one table of 256 entries;
    ``round`` and ``maximum`` are those of the output's quantization.
    """

    input: str
    output: str


@dataclass(frozen=True)
class BoxCoder:
    """Boxes from anchors (or proposals) and deltas, in float32, as written.

    ``d = delta * std + mean`` (each of dx, dy, dw, dh); dw and dh clamped to
    ``±f32(abs(log(max_ratio)))``; with ``pw = x2 - x1, px = (x1 + x2) * 0.5`` (and
    for y alike)::

        gx = px + pw * dx          gw = pw * exp(dw)
        x1 = gx - gw * 0.5         x2 = gx + gw * 0.5

    clamped to 0 .. width (height) of the resized image before padding.

    ``exp`` is f32 of this float64 sequence, so that every engine has the same one::

        k = rint(x * 1.4426950408889634);  r = x - k * 0.6931471805599453
        p = 1;  for n = 13 down to 1:  p = 1 + p * r / n
        exp = p * 2**k
    """

    means: tuple[float, float, float, float]
    stds: tuple[float, float, float, float]
    max_ratio: float


@dataclass(frozen=True)
class Proposals:
    """Boxes from the region proposal head, best first.

    Per level l: ``scores[l]`` float32 [1, h, w, A] are logits, ``deltas[l]`` float32
    [1, h, w, 4A]. Anchor a at (y, x) is ``base_anchors[l][a] + (x, y, x, y) * stride``.
    The ``pre_nms`` highest logits of each level survive (ties: the lower index, in
    the order y, x, a), are decoded, and boxes whose width or height is not more
    than ``min_size`` are dropped (unless min_size < 0). Then per level, over boxes in
    order of logits (all levels concatenated; ties: the lower index), a box is dropped
    if its overlap with a kept box *of its level* is above ``iou_threshold``.
    The best ``max_boxes`` remain. overlap, in float32::

        inter = max(min(x2, x2') - max(x1, x1'), 0) * max(min(y2, y2') - max(y1, y1'), 0)
        iou   = inter / (area + area' - inter)               # 0 / 0 counts as 0

    Output: boxes [n, 4].
    """

    scores: tuple[str, ...]
    deltas: tuple[str, ...]
    output: str
    strides: tuple[int, ...]
    base_anchors: tuple[tuple[tuple[float, float, float, float], ...], ...]
    coder: BoxCoder
    pre_nms: int
    max_boxes: int
    iou_threshold: float
    min_size: float


@dataclass(frozen=True)
class RoIAlign:
    """Features of boxes: uint8 maps and boxes to uint8 [n, size, size, c].

    Level of a box: with ``s = sqrt(w * h) / finest_scale + 1e-6`` in float32, the number
    of l >= 1 with s >= 2**l, at most the last one.

    Along each axis, in float32, with ``scale = 1 / stride`` of the level: ``start = x1 *
    scale - 0.5``, ``extent = x2 * scale - 0.5 - start``, ``bin = extent / size``, ``grid =
    ceil(extent / size)``, or ``sampling_ratio`` if that is above 0. Sample i of bin b lies
    at ``u = start + b * bin + (i + 0.5) * bin / grid``. Outside of -1 .. length it does not
    count; else ``u = max(u, 0)``, ``j = floor(u)``, and if ``j >= length - 1`` both taps are
    the last pixel with ``u = j``. Tap j gets ``1 - (u - j)``, then tap j+1 ``u - j``,
    added up over the samples in order, per tap; every tap is at last multiplied by
    ``f32(1 / grid)``. Boxes with grid <= 0 give zeros. This is RoIAlign (aligned) with the two
    axes' weights ``wx[b][column]``, ``wy[b][row]`` taken apart. Then::

        line[row] = sum over columns of wx * f32(q - zp)     # ascending, from 0
        t         = sum over rows of wy * line[row]          # ascending, from 0
        y         = clamp(round(t * f32(s_level / s_y)) + zp_y, 0, maximum)
    """

    inputs: tuple[str, ...]
    boxes: str
    output: str
    strides: tuple[int, ...]
    size: int
    sampling_ratio: int
    finest_scale: float


@dataclass(frozen=True)
class PSRoIAlign:
    """Votes of boxes' cells, each cell read from a map of its own (R-FCN, arXiv 1605.06409).

    ``input`` float32 [1, h, w, D * size**2] and boxes to float32 [n, 1, 1, D]. The map is
    float32 because a vote is a final score or delta: rounding it would gain nothing but memory.
    Cell (by, bx) of output d reads channel ``(d * size + by) * size + bx``, with the weights
    ``wx``, ``wy`` that :class:`RoIAlign` has for a level of this ``stride``::

        line[row]    = sum over columns of wx[bx][column] * value   # ascending, from 0
        cell[by][bx] = sum over rows of wy[by][row] * line[row]     # ascending, from 0
        y            = (sum over by, then bx, of cell) * f32(1 / size**2)   # from 0
    """

    input: str
    boxes: str
    output: str
    stride: int
    size: int
    sampling_ratio: int


@dataclass(frozen=True)
class Detections:
    """The result: boxes in pixels of the original image, scores, labels.

    ``scores`` float32 [n, 1, 1, C + 1] are logits, background last; ``deltas`` float32
    [n, 1, 1, 4C], or 4 if ``class_agnostic``. Softmax in float64: subtract the largest
    logit, the exp of :class:`BoxCoder` (not rounded to f32), sum in order of the classes,
    quotient, rounded to f32. Boxes are decoded, clamped, and multiplied by
    ``f32(1 / f32(resized / original))`` per axis. Pairs (box, class) with score >
    ``score_threshold`` go through the suppression of :class:`Proposals` per class, in the
    order of scores (ties: the lower box, then the lower class); the best ``max_boxes`` remain.
    """

    scores: str
    deltas: str
    boxes: str
    num_classes: int
    class_agnostic: bool
    coder: BoxCoder
    score_threshold: float
    iou_threshold: float
    max_boxes: int


Operation = (
    Preprocess | Conv | MaxPool | Requantize | Proposals | RoIAlign | PSRoIAlign | Detections
)


@dataclass(frozen=True)
class Program:
    """A detector: operations in the order of execution.

    Attributes:
        operations: begins with the one Preprocess; a value is written before it is read.
        quantizations: of every uint8 value, by name; a Conv output that is not in it is float32.
    """

    operations: tuple[Operation, ...]
    quantizations: dict[str, Quantization]
