import numpy as np
import pytest

from lbwdet.measuring.agreement import Agreement, agreement
from lbwdet.measuring.candidates import Detections


def found(*boxes):
    """Boxes of 10 pixels: left edge, score, label."""
    left, scores, labels = np.asarray(boxes, np.float32).reshape(-1, 3).T
    corners = np.stack([left, 0 * left, left + 10, 0 * left + 10], -1)
    return Detections(corners, scores, labels.astype(np.int64))


BOTH = found((0, 0.9, 0), (50, 0.4, 1))


@pytest.mark.parametrize(
    ("deployed", "boxes", "common"),
    [
        (BOTH, 4, 4),
        (found((1, 0.9, 0), (51, 0.2, 1)), 3, 3),  # less sure, but there
        (found((1, 0.9, 0), (51, 0.1, 1)), 3, 2),
        (found((6, 0.9, 0), (50, 0.4, 1)), 4, 2),  # too far away
        (found((0, 0.9, 1), (50, 0.4, 1)), 4, 2),  # called something else
        (found((0, 0.9, 0), (50, 0.4, 1), (90, 0.9, 0)), 5, 4),
        (found((0, 0.9, 0), (0, 0.8, 0), (50, 0.4, 1)), 5, 4),  # one for each
        (found(), 2, 0),
    ],
)
def test_boxes_of_both(deployed, boxes, common):
    assert agreement([deployed], [BOTH], 2) == Agreement(boxes, common)
    assert agreement([BOTH], [deployed], 2) == Agreement(boxes, common)


def test_over_all_images():
    both = agreement([BOTH, found(), found()], [BOTH, found((0, 0.5, 1)), found()], 2)
    assert both == Agreement(5, 4) and both.share == 0.8
    assert agreement([found()], [found((0, 0.2, 0))], 2).share == 1.0  # nothing that counts
