import numpy as np
import pytest

from lbwdet.deploy.runtime.arithmetic.roi_axis import levels_of
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.quantization import Quantization

SIDES = ((24, 32), (12, 16), (6, 8))


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("rounding", ["nearest", "ceil"])
def test_a_step_away_at_most(run, case, levels, ratio, rounding):
    random = np.random.default_rng(levels)
    names = tuple(f"p{level}" for level in range(levels))
    quantizations = {name: Quantization(0.03125, 100 + 9 * i) for i, name in enumerate(names)}
    quantizations["rois"] = Quantization(float(np.float32(0.027)), 110, 250, rounding)
    maps = [random.integers(0, 256, (1, *side, 6)).astype(np.uint8) for side in SIDES[:levels]]
    corners = np.sort(random.uniform(0, 1, (40, 2, 2)), 1) * (128, 96)
    boxes = corners.reshape(-1, 4).astype(np.float32)
    levels_of_boxes = levels_of(boxes, 16.0, levels)
    assert len(set(levels_of_boxes)) == levels
    operation = RoIAlign(names, "boxes", "rois", (4, 8, 16)[:levels], 7, ratio, 16.0)
    # at last boxes of one level only: the others get none
    for some in (boxes, boxes[levels_of_boxes == 0][:3]):
        values = dict(zip(names, maps, strict=True)) | {"boxes": some}
        made = case(Example(operation, values, quantizations))
        (found,), (expected,) = made.found(run), made.expected
        steps = found.astype(int) - expected
        assert np.abs(steps).max() <= 1
        assert (steps != 0).mean() < 0.01
