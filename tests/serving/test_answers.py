import json

import numpy as np
import pytest

from lbwdet.deploy.runtime.arithmetic.paste import runs_of
from lbwdet.deploy.runtime.detector import DetectionResult
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.serving.answers import ImageAnswer, image_json

BOXES = np.array([[1, 2.5, 3, 4], [0, 0, 7, 9]], np.float32)


def result(masks=None, boxes=BOXES):
    scores = np.array([0.75, 0.5], np.float32)
    return DetectionResult(boxes, scores, np.array([2, 0]), ("cat", "dög"), masks)


def test_boxes():
    answer = json.loads(image_json((9, 7), result()))
    assert answer == {
        "width": 7,
        "height": 9,
        "detections": [
            {"label": "cat", "score": 0.75, "box": [1.0, 2.5, 3.0, 4.0], "class_index": 2},
            {"label": "dög", "score": 0.5, "box": [0.0, 0.0, 7.0, 9.0], "class_index": 0},
        ],
    }
    ImageAnswer.model_validate(answer)


def test_masks():
    pixels = np.zeros((9, 7), bool)
    pixels[2:4, 1:3] = True
    mask = Mask(pixels.shape, runs_of(pixels, (0, 0), pixels.shape))
    answer = json.loads(image_json((9, 7), result((mask, mask))))
    assert answer["detections"][1]["mask"] == mask.coco()
    assert ImageAnswer.model_validate(answer).detections[0].mask.size == [9, 7]


def test_a_box_that_is_no_number_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        image_json((9, 7), result(boxes=BOXES * np.float32(np.nan)))
