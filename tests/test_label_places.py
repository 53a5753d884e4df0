import math

import numpy as np
import pytest

from lbwdet.label_places import GAP, Box, label_places

ROOM = Box((150.0, 100.0), (300.0, 200.0))


def test_common_area_and_nearest_point():
    box = Box((10, 10), (4, 2))
    assert box.common(Box((12, 10), (4, 2))) == 4 and box.common(Box((15, 10), (4, 2))) == 0
    assert box.nearest((0, 10.5)) == (8, 10.5) and box.holds((9, 10)) and not box.holds((7, 10))


def test_alone_it_stands_on_the_right_and_at_the_edge_elsewhere():
    (box,) = label_places([(150, 100)], [5], [(40, 10)], ROOM)
    assert box.middle == (150 + 5 + GAP + 20, 100)
    (box,) = label_places([(295, 100)], [5], [(40, 10)], ROOM)
    assert box.common(ROOM) == pytest.approx(box.area)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_covers_anything(seed):
    random = np.random.default_rng(seed)
    # Engines of a chart: most are equally accurate, so that their discs are in one line.
    centres = [(float(x), 150.0) for x in np.sort(random.uniform(20, 280, 6))] + [(100.0, 20.0)]
    radii = [float(radius) for radius in random.uniform(3, 8, 7)]
    boxes = label_places(centres, radii, [(70.0, 22.0)] * 7, ROOM)
    for index, box in enumerate(boxes):
        assert box.common(ROOM) == pytest.approx(box.area)
        assert all(box.common(other) == 0 for other in boxes[:index])
        for centre, radius in zip(centres, radii, strict=True):
            assert math.dist(box.nearest(centre), centre) >= radius


def test_without_room_there_is_a_place_all_the_same():
    tiny = Box((0, 0), (10, 10))
    assert len(label_places([(0, 0)] * 3, [5] * 3, [(40, 10)] * 3, tiny)) == 3
