from collections import Counter

import cv2
import numpy as np
import pytest

from lbwdet.datasets.toy_drawing import (
    CLASSES,
    OUTLINES,
    _box,
    _mask,
    _placed,
    draw_image,
)

COUNT = 100


@pytest.fixture(scope="module")
def pictures():
    return [draw_image(np.random.default_rng([0, 0, index])) for index in range(COUNT)]


def _iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return common / (sum(areas) - common)


def test_every_picture_has_two_to_seven_objects_inside_it(pictures):
    counts = Counter(len(objects) for _, objects in pictures)
    assert set(counts) == set(range(2, 8))
    for image, objects in pictures:
        assert image.shape == (160, 192, 3) and image.dtype == np.uint8
        for item in objects:
            x1, y1, x2, y2 = item.box
            assert 1 <= x1 < x2 <= 192 and 1 <= y1 < y2 <= 160


def test_classes_are_balanced_and_sizes_spread(pictures):
    objects = [item for _, objects in pictures for item in objects]
    counts = Counter(item.name for item in objects)
    assert set(counts) == set(CLASSES) and len(CLASSES) >= 5
    assert max(counts.values()) < 1.6 * min(counts.values())
    longer = np.array([max(i.box[2] - i.box[0], i.box[3] - i.box[1]) + 1 for i in objects])
    assert longer.min() >= 12 and longer.max() <= 120
    # Small, middle and large ones all matter.
    assert all(share > 0.15 for share in np.histogram(longer, [0, 35, 55, 200])[0] / len(longer))


def test_objects_overlap_and_touch_borders_now_and_then(pictures):
    pairs = [
        _iou(a.box, b.box)
        for _, objects in pictures
        for index, a in enumerate(objects)
        for b in objects[:index]
    ]
    overlapping = np.mean(np.array(pairs) > 0.05)
    assert 0.05 < overlapping < 0.5
    truncated = np.mean([item.truncated for _, objects in pictures for item in objects])
    assert 0.02 < truncated < 0.3


def test_colour_does_not_tell_the_class(pictures):
    """Nearest class mean of the colour at the box centre does no better than chance."""
    colours, labels = [], []
    for image, objects in pictures:
        for item in objects:
            x, y = (item.box[0] + item.box[2]) // 2 - 1, (item.box[1] + item.box[3]) // 2 - 1
            colours.append(image[y, x].astype(float))
            labels.append(CLASSES.index(item.name))
    colours, labels = np.array(colours), np.array(labels)
    half = len(labels) // 2
    means = np.stack([colours[:half][labels[:half] == k].mean(0) for k in range(len(CLASSES))])
    guess = ((colours[half:, None] - means) ** 2).sum(-1).argmin(1)
    assert np.mean(guess == labels[half:]) < 2 / len(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_box_bounds_the_drawn_pixels(name):
    """The computed box and the box around the drawn pixels agree to a pixel."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        points = _placed(rng, OUTLINES[name], (192, 160), (0.085, 0.27))
        (x1, y1, x2, y2), _ = _box(points, (192, 160))
        rows, columns = np.nonzero(_mask(points, (192, 160)) > 0.5)
        drawn = (columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1)
        # A tip thinner than a pixel (star, triangle, crescent) is never half covered.
        assert np.abs(np.subtract(drawn, (x1, y1, x2, y2))).max() <= 3


def test_outlines_differ_in_more_than_name():
    masks = []
    for outline in OUTLINES.values():
        assert np.hypot(*outline.T).max() == pytest.approx(1, abs=0.06)
        masks.append(_mask(outline * 40 + 50, (100, 100)) > 0.5)
        # Convexity and area tell the six apart.
    areas = [int(mask.sum()) for mask in masks]
    hulls = [cv2.contourArea(cv2.convexHull(np.argwhere(mask)[:, ::-1])) for mask in masks]
    features = [(area / 5027, area / hull) for area, hull in zip(areas, hulls, strict=True)]
    for index, a in enumerate(features):
        for b in features[:index]:
            assert max(abs(a[0] - b[0]), abs(a[1] - b[1])) > 0.05
