from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.arithmetic.paste import paste, runs_of
from lbwdet.deploy.runtime.context import Array, Run
from lbwdet.deploy.runtime.declaration import Kind, Range, Reads
from lbwdet.deploy.runtime.operation import Example, Operation
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
    """

    float32: ClassVar[str] = "masks in the image's pixels"

    input: Annotated[str, Reads(Kind.CANDIDATES)]
    num_classes: Annotated[int, Range(1, 100_000)]
    masks: Annotated[str, Reads(Kind.FLOAT)] | None = None
    mask_threshold: Annotated[float, Range(0, 1)] = 0.5

    def in_float32(self) -> str:
        return self.float32 if self.masks is not None else ""

    def infer(self, shapes: Shapes) -> None:
        classes = shapes.candidates(self.input).classes
        shapes.expect(
            classes == self.num_classes, f"candidates of {classes} classes, not {self.num_classes}"
        )
        if self.masks is not None:
            masks = shapes.map(self.masks)
            shapes.expect(
                shapes.origin(masks.rows) == shapes.origin(self.input) and masks.channels == 1,
                f"{shown(self.masks)} has not one mask for each of {shown(self.input)}",
            )

    def compute(self, run: Run) -> tuple[Any, ...]:
        rows = run.values[self.input]
        found = rows[:, :4].copy(), rows[:, 4].copy(), rows[:, 5].astype(np.int64)
        if self.masks is None:
            return found
        size = run.image.shape[:2]
        return *found, tuple(
            runs_of(*paste(mask[..., 0], box, self.mask_threshold, size), size)
            for mask, box in zip(run.values[self.masks], rows[:, :4], strict=True)
        )

    @classmethod
    def example(cls, random: np.random.Generator) -> Example:
        rows = random_cases.candidates(random, int(random.integers(0, 20)))
        if random.random() < 0.4:
            return Example(cls("x", 3), {"x": rows})
        masks = _smooth(random, len(rows), *(int(side) for side in random.integers(1, 15, 2)))
        height, width = (int(side) for side in random.integers(1, 110, 2))
        threshold = float(random.choice([0.0, 0.5, 0.5, 1.0]))
        image = np.zeros((height, width, 3), np.uint8)
        return Example(cls("x", 3, "m", threshold), {"x": rows, "m": masks}, image=image)


def _smooth(random: np.random.Generator, count: int, height: int, width: int) -> Array:
    """Probabilities [n, h, w, 1]; some are all or nothing."""
    noise = random.uniform(0, 1, (count, height, width, 1))
    return np.where(random.random((count, 1, 1, 1)) < 0.2, np.rint(noise), noise).astype(np.float32)
