from types import SimpleNamespace

import numpy as np
import pytest

from lbwdet.demos import drawing
from lbwdet.demos.drawing import Drawer, draw, summary
from lbwdet.deploy.runtime.arithmetic.paste import runs_of
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.errors import LBWError
from lbwdet.measuring.candidates import Detections


def test_boxes_are_drawn_on_a_copy_and_may_leave_the_image():
    image = np.full((60, 80, 3), 200, np.uint8)
    boxes = np.array([[10, 20, 40, 50], [-30, -30, 500, 500]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8], np.float32), np.array([0, 8]))
    canvas = draw(image, found, tuple("abcdefghi"))
    assert (image == 200).all() and canvas.shape == image.shape
    assert (canvas[50, 15:35] != 200).any(axis=1).all()  # the lower edge of the first box
    assert (canvas[25:45, 20:30] == 200).all()  # its inside


def test_boxes_far_away_and_names_of_any_letters(monkeypatch):
    image = np.full((60, 80, 3), 200, np.uint8)
    boxes = np.array([[40, 30, 10, 5], [-1e30, -5, 1e30, 1e9]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8], np.float32), np.array([0, 1]))
    for has_fonts in (True, False):
        monkeypatch.setattr(drawing, "HAS_FONTS", has_fonts)
        assert draw(image, found, ("猫", "a\nb\x1b")).shape == image.shape


def test_senseless_detections_end_it():
    box = np.array([[1, 2, np.nan, 40]], np.float32)
    found = Detections(box, np.array([0.5], np.float32), np.array([0]))
    candidate = SimpleNamespace(detect=lambda image: found, classes=("a",), config="x.lbw")
    with pytest.raises(LBWError, match=r"x\.lbw: NaN or infinite"):
        Drawer(candidate, 0.3)(np.zeros((60, 60, 3), np.uint8))


def test_a_drawer_leaves_low_scores_out_and_takes_the_time():
    boxes = np.array([[1, 2, 30, 40], [5, 5, 9, 9]], np.float32)
    found = Detections(boxes, np.array([0.5, 0.29], np.float32), np.array([1, 0]))
    candidate = SimpleNamespace(
        detect=lambda image: found, classes=("a", "b"), config="c", checkpoint=None, engine="e"
    )
    drawer = Drawer(candidate, score_thr=0.3)
    image = np.zeros((60, 60, 3), np.uint8)
    drawn, objects = drawer(image)
    assert drawn.any() and not image.any()
    assert objects == [dict(label="b", score=0.5, box=[1, 2, 30, 40])]
    report = drawer.report(images=dict(x=objects))
    assert report["median_ms"] == 1000 * drawer.seconds[0] and report["engine"] == "e"


def test_summary_counts_frames_as_well_as_images():
    report = dict(engine="torch", median_ms=20, frames=[[1], [], [1, 2]])
    text = "3 objects in 3 frames, 20.0 ms each (median), 50.0 per second, engine torch"
    assert summary(report) == text


def test_masks_are_tinted_and_written():
    pixels = np.zeros((60, 80), bool)
    pixels[25:30, 12:20] = True
    masks = (Mask(pixels.shape, runs_of(pixels, (0, 0), pixels.shape)),) * 2
    boxes = np.array([[10, 20, 40, 50], [10, 20, 40, 50]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.2], np.float32), np.array([0, 1]), masks)
    image = np.full((60, 80, 3), 200, np.uint8)
    canvas = draw(image, found.above(0.3), ("a", "b"))
    assert (canvas[25:30, 12:20] != 200).any(-1).all() and (canvas[31:48, 12:38] == 200).all()
    (only,) = drawing.as_json(found.above(0.3), ("a", "b"))
    assert only["mask"] == masks[0].coco() and only["label"] == "a"
