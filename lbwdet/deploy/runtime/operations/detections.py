import math
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.paste import paste, runs_of
from lbwdet.deploy.runtime.arithmetic.pixels import around, mean_probability
from lbwdet.deploy.runtime.arithmetic.spread import Taps, spread, taps
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Shapes
from lbwdet.errors import shown


@dataclass(frozen=True)
class Detections(Operation):
    """The result: candidates as boxes float32 [n, 4], scores float32 [n], labels int64 [n].

    With ``masks``, float32 [n, h, w, 1] of what each covers of its box, the image's pixels, too, in
    which it is at least ``mask_threshold``. In float32, pixel (y, x) of the image lies in the mask
    at ``u = (x + 0.5 - x1) / (x2 - x1) * w - 0.5`` (v alike; ``w * 0.5 - 0.5`` if the quotient is
    infinite or no number). It is interpolated between the mask's four pixels around it, those
    outside of it being 0::

        j = floor(u);  f = u - j                             # u clamped to -2 .. w + 1
        line[i] = mask[i][j] * (1 - f) + mask[i][j + 1] * f
        value   = line[i] * (1 - g) + line[i + 1] * g        # i, g of v

    Pixels outside of ``floor(x1) - 1 .. ceil(x2) + 1`` (y alike) have no part in it. The masks
    are runs: see :mod:`lbwdet.deploy.runtime.masks`.

    With another ``mask_extent`` masks are not those of boxes, but of the network's whole input, of
    which a pixel of the mask is ``mask_factor`` (f) pixels wide and high. They become the image's
    in two steps along each axis, from h to m = h * f pixels, of which the first s become t. The
    place of pixel i in the first step and in the second, in float64 as written::

        max((i + 0.5) / f - 0.5, 0)                 # or, if mask_aligned, max(i - f // 2, 0) / f
        max((i + 0.5) * (s / t) - 0.5, 0)

    ========= ====================================== ===============================================
    extent    s                                      t
    ========= ====================================== ===============================================
    bounds    what boxes are clipped to, at most m   the image's side
    canvas    m                                      the image's side
    scaled    m                                      ceil(m * (1 / (resized / original)))
    ========= ====================================== ===============================================

    ``resized / original`` is that of the other axis, as MMDetection's RTMDet has it. A place p lies
    between j = floor(p) and j + 1, both at most the last pixel, with the shares 1 - (p - j) and
    p - j. So each pixel is a sum of four of the mask's, two of either neighbour's, first's first,
    whose shares are f32 of the products of the two steps'; the four products are summed in this
    order in float32, first along the width. With ``mask_cropped`` pixels of the mask outside of the
    candidate's box count as 0: its columns j (rows alike) that are not at least ``min(x1 * r, x2 *
    r) - 1`` and below ``max(x1 * r, x2 * r) + 1``, in float32, with ``r = f32(w / W)`` of an image
    of W columns. With a ``mask_factor`` of 0, m is what boxes are clipped to, whatever h is, and
    pixels of the first step have the places ``max((i + 0.5) * (h / m) - 0.5, 0)``.

    With ``boxed_masks``, boxes are those around the pixels of masks of the image: of the columns
    from x1 to x2 - 1, of the rows from y1 to y2 - 1; all four are 0 if there is no pixel. With
    ``scored_masks``, scores are multiplied, in float32, by the mean probability of these pixels:
    ``f32(sum of rint(p * 2**24) / (area * 2**24))``, of float64, where p is the sigmoid of a value,
    as in ``Candidates``, and of no pixels 0.
    """

    float32: ClassVar[str] = "masks in the image's pixels"

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    num_classes: Annotated[int, Range(1, 100_000)]
    masks: Annotated[str, Reads(Kind.FLOAT)] | None = None
    mask_threshold: Annotated[float, Range(-100, 100)] = 0.5
    mask_extent: Literal["box", "bounds", "canvas", "scaled"] = "box"
    mask_factor: Annotated[int, Range(0, 64)] = 1
    mask_aligned: bool = False
    mask_cropped: bool = False
    boxed_masks: bool = False
    scored_masks: bool = False

    def in_float32(self) -> str:
        return self.float32 if self.masks is not None else ""

    def infer(self, shapes: Shapes) -> None:
        classes = shapes.candidates(self.input).classes
        shapes.expect(
            classes == self.num_classes, f"candidates of {classes} classes, not {self.num_classes}"
        )
        shapes.expect(
            bool(self.mask_factor) or (self.mask_extent == "bounds" and not self.mask_aligned),
            "mask_factor=0 is for masks up to the bounds of boxes, not aligned",
        )
        shapes.expect(
            (self.masks is not None and self.mask_extent != "box")
            or not (self.boxed_masks or self.scored_masks),
            "boxes or scores from masks of the image, of which there are none",
        )
        if self.masks is not None:
            masks = shapes.map(self.masks)
            shapes.expect(
                shapes.origin(masks.rows) == shapes.origin(self.input) and masks.channels == 1,
                f"{shown(self.masks)} has not one mask for each of {shown(self.input)}",
            )

    def compute(self, run: Run) -> tuple[Any, ...]:
        rows = run.values[self.input]
        boxes, scores, labels = rows[:, :4].copy(), rows[:, 4].copy(), rows[:, 5].astype(np.int64)
        if self.masks is None:
            return boxes, scores, labels
        size, masks = run.image.shape[:2], run.values[self.masks][..., 0]
        if self.mask_extent != "box":
            down, across = (self._taps(run, axis, masks.shape[1 + axis]) for axis in (0, 1))
            threshold = np.float32(self.mask_threshold)
            if self.mask_cropped:
                masks = _cropped(masks, rows[:, :4], size)
            found = []
            for index, mask in enumerate(masks):
                values = spread(mask, down, across)
                inside = values >= threshold
                if self.boxed_masks:
                    boxes[index] = around(inside)
                if self.scored_masks:
                    scores[index] *= mean_probability(values[inside])
                found.append(runs_of(inside, (0, 0), size))
            return boxes, scores, labels, tuple(found)
        found = [
            runs_of(*paste(mask, box, self.mask_threshold, size), size)
            for mask, box in zip(masks, boxes, strict=True)
        ]
        return boxes, scores, labels, tuple(found)

    def _taps(self, run: Run, axis: int, pixels: int) -> Taps:
        """How a mask's height or width becomes that of the image."""
        original = run.image.shape[axis]
        whole = pixels * self.mask_factor or run.bounds[axis]
        source, target = whole, original
        if self.mask_extent == "bounds":
            source = min(run.bounds[axis], whole)
        elif self.mask_extent == "scaled":
            target = math.ceil(whole * (1 / (run.resized[1 - axis] / run.image.shape[1 - axis])))
        return taps(pixels, self.mask_factor, source, target, original, self.mask_aligned)

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        rows = random_cases.candidates(random, int(random.integers(0, 20)))
        if random.random() < 0.4:
            return Example(cls("x", 3), {"x": rows})
        masks = _smooth(random, len(rows), *(int(side) for side in random.integers(1, 15, 2)))
        height, width = (int(side) for side in random.integers(1, 110, 2))
        threshold = float(random.choice([0.0, 0.5, 0.5, 1.0]))
        image = np.zeros((height, width, 3), np.uint8)
        operation = cls("x", 3, "m", threshold)
        if random.random() < 0.4:
            return Example(operation, {"x": rows, "m": masks}, image=image)
        operation = replace(
            operation,
            mask_extent=("bounds", "canvas", "scaled")[int(random.integers(3))],
            mask_factor=int(random.choice([1, 4, 5])),
            mask_aligned=bool(random.integers(2)),
            mask_cropped=bool(random.integers(2)),
            boxed_masks=bool(random.integers(2)),
            scored_masks=bool(random.integers(2)),
        )
        if random.random() < 0.2:
            operation = replace(operation, mask_extent="bounds", mask_factor=0, mask_aligned=False)
        resized = (int(random.integers(1, 60)), int(random.integers(1, 60)))
        return Example(operation, {"x": rows, "m": masks}, image=image, resized=resized)


def _cropped(masks: Array, boxes: Array, size: tuple[int, int]) -> Array:
    """Masks [n, h, w] of an image of this size, 0 outside of boxes [n, 4] in its pixels."""
    inside = []
    for axis, original in ((1, size[1]), (0, size[0])):
        pixels = masks.shape[1 + axis]
        ends = boxes[:, 1 - axis :: 2] * np.float32(pixels / original)
        low, high = ends.min(1) - np.float32(1), ends.max(1) + np.float32(1)
        place = np.arange(pixels, dtype=np.float32)
        inside.append((place >= low[:, None]) & (place < high[:, None]))
    return np.where(inside[1][:, :, None] & inside[0][:, None], masks, np.float32(0))


def _smooth(random: "np.random.Generator", count: int, height: int, width: int) -> Array:
    """Probabilities [n, h, w, 1]; some are all or nothing."""
    noise = random.uniform(0, 1, (count, height, width, 1))
    return np.where(random.random((count, 1, 1, 1)) < 0.2, np.rint(noise), noise).astype(np.float32)
