from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.boxes import best_first, exp
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes
from lbwdet.errors import shown

_WHOLE = 2.0**24  # steps of 1 that a probability is rounded to


@dataclass(frozen=True)
class MatrixSuppress(Operation):
    """Candidates by their masks: those that better ones cover get a lower score (SOLOv2's).

    Matrix NMS (Wang et al., SOLOv2, NeurIPS 2020) with a Gaussian. ``masks`` float32 [n, h, w, 1]
    are probabilities; a pixel with more than ``mask_threshold`` is part of the mask, whose area is
    their number.

    1. Candidates are dropped whose area is not above ``least_areas[l]``; of numbered candidates
       (see ``Candidates``), ``counts[l]`` belong to level l, and all others to the last.
    2. The score is multiplied, in float32, by the mean probability of the mask's pixels:
       ``f32(sum of rint(p * 2**24) / (area * 2**24))``, of float64.
    3. The ``max_masks`` best remain, best first (ties: the earlier one).
    4. Of two masks of the same class, i better than j, ``iou = f32(inter / union)`` counts pixels,
       the quotient in float64. ``covered[j]`` is the largest iou of j and a better one; 0, if there
       is none. In float64, over all better i of the class, s = f32(sigma)::

           d        = s * min(covered[i] * covered[i] - iou[i, j] * iou[i, j])
           score[j] = score[j] * f32(exp(max(min(d, 0), -700)))          # the product in float32

    5. Those with a score of at least ``score_threshold`` remain, the ``max_boxes`` best, best first
       (ties: the earlier one).

    Output: candidates [n, 7].
    """

    float32: ClassVar[str] = "overlaps of masks"

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    masks: Annotated[str, Reads(Kind.FLOAT)]
    output: Annotated[str, Writes(Kind.CANDIDATES)]
    counts: Annotated[tuple[int, ...], Range(1, 1 << 24)]
    least_areas: Annotated[tuple[float, ...], Range(0, 1e9)]
    mask_threshold: Annotated[float, Range(0, 1)]
    sigma: Annotated[float, Range(0, 1e3)]
    max_masks: Annotated[int, Range(1, 1 << 14)]
    score_threshold: Annotated[float, Range(-1, 1)]
    max_boxes: Annotated[int, Range(1, 100_000)]

    def infer(self, shapes: Shapes) -> Rows:
        shapes.per_level(self.counts, self.least_areas)
        masks = shapes.map(self.masks)
        shapes.expect(
            shapes.origin(masks.rows) == shapes.origin(self.input) and masks.channels == 1,
            f"{shown(self.masks)} has not one mask for each of {shown(self.input)}",
        )
        return replace(shapes.candidates(self.input), origin="")

    def compute(self, run: Run) -> Array:
        rows, masks = run.values[self.input], run.values[self.masks]
        pixels = masks.reshape(len(rows), masks.shape[1] * masks.shape[2])
        covers = pixels > np.float32(self.mask_threshold)
        area = covers.sum(1)
        ends = np.cumsum(self.counts)[:-1]
        least = np.array(self.least_areas, np.float32)[np.searchsorted(ends, rows[:, 6], "right")]
        large = area > least
        rows, pixels, covers, area = rows[large].copy(), pixels[large], covers[large], area[large]
        totals = np.where(covers, np.rint(pixels.astype(np.float64) * _WHOLE), 0).sum(1)
        rows[:, 4] *= (totals / (area * _WHOLE)).astype(np.float32)
        best = best_first(rows[:, 4])[: self.max_masks]
        rows = rows[best]
        rows[:, 4] *= self._decay(rows[:, 5], covers[best])
        kept = rows[rows[:, 4] >= np.float32(self.score_threshold)]
        return np.asarray(kept[best_first(kept[:, 4])[: self.max_boxes]])

    def _decay(self, labels: Array, covers: Array) -> Array:
        """float32 [n]: the factors of the scores."""
        area = covers.sum(1)
        inter = np.rint(covers.astype(np.float32) @ covers.T.astype(np.float32)).astype(np.int64)
        union = area[:, None] + area - inter
        iou = (inter / np.maximum(union, 1)).astype(np.float32).astype(np.float64)
        better = np.triu(labels[:, None] == labels, 1)
        iou = np.where(better, iou, 0)
        covered = iou.max(0, initial=0)
        least = np.where(better, covered[:, None] ** 2 - iou**2, 0).min(0, initial=0)
        powers = np.maximum(np.float64(np.float32(self.sigma)) * least, -700)
        return np.asarray(exp(powers).astype(np.float32))

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        rows = random_cases.candidates(random, int(random.integers(0, 60)))
        rows[:, 6] = random.integers(0, 12, len(rows))
        height, width = (int(side) for side in random.integers(1, 20, 2))
        # Some discs, which overlap, with noise.
        places = random.uniform(0, 1, (len(rows), 3))
        y, x = np.mgrid[0:height, 0:width]
        distance = np.hypot(
            y - places[:, 0, None, None] * height, x - places[:, 1, None, None] * width
        )
        inside = distance < places[:, 2, None, None] * max(height, width)
        masks = np.abs(inside - random.uniform(0, 0.55, inside.shape)).astype(np.float32)
        operation = cls(
            "x",
            "masks",
            "y",
            counts=(4, 5),
            least_areas=(float(random.choice([0, 8])), 3.0),
            mask_threshold=float(random.choice([0.3, 0.5])),
            sigma=float(random.choice([0.5, 2.0])),
            max_masks=int(random.choice([3, 20, 500])),
            score_threshold=float(random.choice([-1.0, 0.05, 0.3])),
            max_boxes=int(random.choice([2, 100])),
        )
        return Example(operation, {"x": rows, "masks": masks[..., None]})
