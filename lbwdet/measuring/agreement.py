"""Whether what is deployed finds what the detector finds that it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lbwdet.measuring.accuracy import match
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.testset import GroundTruth

SCORE = 0.3  # a box that counts has at least this score
LITTLE = 0.9  # an agreement below is worth a word


@dataclass(frozen=True)
class Agreement:
    """Boxes of two detectors on the same images.

    Attributes:
        boxes: those with a score of at least ``SCORE``, of both together.
        common: how many of these the other one finds, too, at half that score or above, by the
            rules of VOC: same class, IoU 0.5, one for each.
    """

    boxes: int
    common: int

    @property
    def share(self) -> float:
        """1: they find the same; of no boxes, too."""
        return self.common / self.boxes if self.boxes else 1.0


def agreement(
    deployed: Sequence[Detections], origin: Sequence[Detections], num_classes: int
) -> Agreement:
    """Compares what two detectors found on the same images, in the same order."""
    boxes = common = 0
    for one, other in zip(deployed, origin, strict=True):
        for found, sought in ((one, other), (other, one)):
            objects = _above(sought, SCORE)
            truth = GroundTruth(
                objects.boxes, objects.labels, np.zeros(len(objects.scores), dtype=bool)
            )
            boxes += len(objects.scores)
            common += int(match(_above(found, SCORE / 2), truth, num_classes).true.sum())
    return Agreement(boxes, common)


def _above(found: Detections, score: float) -> Detections:
    kept = found.scores >= score
    return Detections(found.boxes[kept], found.scores[kept], found.labels[kept])
