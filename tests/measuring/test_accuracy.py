from pathlib import Path

import numpy as np
import pytest
from mmdet.evaluation import VOCMetric
from mmengine.structures import InstanceData
from numpy.testing import assert_array_equal

from lbwdet.errors import DataError, LBWError
from lbwdet.measuring.accuracy import detect_all, evaluate, match
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.testset import GroundTruth, TestImage, TestSet

CLASSES = ("a", "b", "c")


def truth(boxes, labels=None, ignored=None):
    count = len(boxes)
    return GroundTruth(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels or [0] * count, np.int64),
        np.array(ignored or [False] * count, bool),
    )


def detections(boxes, scores, labels=None):
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels or [0] * len(boxes), np.int64),
    )


def random_case(seed, images=5):
    """Ground truth with ignored objects, and detections scattered around it."""
    generator = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(images):
        count = generator.integers(0, 6)
        corner = generator.integers(0, 60, (count, 2))
        boxes = np.hstack([corner, corner + generator.integers(8, 30, (count, 2))])
        labels = generator.integers(0, 2, count)  # class "c" never occurs
        truths.append(truth(boxes, labels.tolist(), (generator.random(count) < 0.25).tolist()))
        near = np.repeat(boxes, 2, axis=0) + generator.integers(-5, 6, (2 * count, 4))
        far = generator.integers(0, 40, (3, 2))
        near = np.vstack([near, np.hstack([far, far + 20])])
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        scores = generator.permutation(len(near)) / 100 + generator.random(len(near)) / 1000
        guesses = np.concatenate([np.repeat(labels, 2), generator.integers(0, 3, 3)])
        found.append(detections(near, scores, guesses.tolist()))
    return found, truths


def overlap(first, second):
    """Intersection over union where a box from 3 to 5 covers 3 pixels."""
    width = min(first[2], second[2]) - max(first[0], second[0]) + 1
    height = min(first[3], second[3]) - max(first[1], second[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0

    def area(box):
        return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)

    return width * height / (area(first) + area(second) - width * height)


def average_precision_by_hand(found, truths, label):
    """11-point and area AP of one class, straight from the definition, in plain Python."""
    ranked = sorted(
        (-float(score), image, box.tolist())
        for image, one in enumerate(found)
        for box, score, own in zip(one.boxes, one.scores, one.labels, strict=True)
        if own == label
    )
    total = sum(
        int(own == label and not ignored)
        for one in truths
        for own, ignored in zip(one.labels, one.ignored, strict=True)
    )
    if not total:
        return None, None
    taken, curve, true, false = set(), [], 0, 0
    for _, image, box in ranked:
        best, best_overlap = None, 0.0
        # Objects that count come before ignored ones, which decides ties.
        objects = [i for i, own in enumerate(truths[image].labels) if own == label]
        for index in sorted(objects, key=lambda i: truths[image].ignored[i]):
            value = overlap(box, truths[image].boxes[index].tolist())
            if value > best_overlap:
                best, best_overlap = index, value
        if best_overlap >= 0.5 and truths[image].ignored[best]:
            pass
        elif best_overlap >= 0.5 and (image, best) not in taken:
            taken.add((image, best))
            true += 1
        else:
            false += 1
        if true + false:
            curve.append((true / total, true / (true + false)))
    # 3 * 0.1 is a little more than 0.3: such are the thresholds of MMDetection, too.
    points = [max((p for r, p in curve if r >= k * 0.1), default=0.0) for k in range(11)]
    area, before = 0.0, 0.0
    for recall in sorted({r for r, _ in curve}):
        area += (recall - before) * max(p for r, p in curve if r >= recall)
        before = recall
    return sum(points) / 11, area


@pytest.mark.parametrize("seed", range(30))
def test_average_precision_equals_the_definition(seed):
    found, truths = random_case(seed)
    accuracy = evaluate(found, truths, CLASSES)
    expected = [average_precision_by_hand(found, truths, label) for label in range(3)]
    for entry, (eleven, area) in zip(accuracy.per_class.values(), expected, strict=True):
        assert entry.ap_11point == (None if eleven is None else pytest.approx(eleven, abs=1e-6))
        assert entry.ap_area == (None if area is None else pytest.approx(area, abs=1e-6))
    measured = [eleven for eleven, _ in expected if eleven is not None]
    assert accuracy.map_11point == pytest.approx(np.mean(measured), abs=1e-6)


@pytest.mark.parametrize("mode", ["11points", "area"])
def test_equals_mmdetections_metric(mode):
    found, truths = random_case(7)
    metric = VOCMetric(eval_mode=mode)
    metric.dataset_meta = dict(classes=CLASSES)
    for one, wanted in zip(found, truths, strict=True):
        metric.process({}, [as_data_sample(one, wanted)])
    expected = metric.compute_metrics(metric.results)["mAP"]
    accuracy = evaluate(found, truths, CLASSES)
    assert (accuracy.map_11point if mode == "11points" else accuracy.map_area) == expected


def as_data_sample(found, wanted):
    import torch

    def instances(**fields):
        return InstanceData(**{key: torch.from_numpy(value) for key, value in fields.items()})

    counts = ~wanted.ignored
    return dict(
        gt_instances=instances(bboxes=wanted.boxes[counts], labels=wanted.labels[counts]),
        ignored_instances=instances(bboxes=wanted.boxes[~counts], labels=wanted.labels[~counts]),
        pred_instances=instances(bboxes=found.boxes, scores=found.scores, labels=found.labels),
    )


def test_match_tells_true_from_false_and_ignored():
    wanted = truth([[0, 0, 9, 9], [50, 50, 69, 69], [30, 0, 39, 9]], ignored=[0, 1, 0])
    found = detections(
        [[0, 0, 9, 9], [1, 0, 9, 9], [50, 50, 69, 69], [80, 80, 89, 89]], [0.5, 0.9, 0.8, 0.7]
    )
    result = match(found, wanted, num_classes=1)
    assert_array_equal(result.true, [False, True, False, False])  # the better-scored one found it
    assert_array_equal(result.false, [True, False, False, True])
    assert_array_equal(result.truth_index, [-1, 0, -1, -1])


def test_another_class_is_never_a_hit():
    result = match(detections([[0, 0, 9, 9]], [0.9], [1]), truth([[0, 0, 9, 9]], [0]), 2)
    assert result.false.all() and not result.true.any()


def test_class_without_objects_is_none_and_left_out_of_the_mean():
    found = [detections([[0, 0, 9, 9], [0, 0, 9, 9]], [0.9, 0.8], [0, 1])]
    accuracy = evaluate(found, [truth([[0, 0, 9, 9]])], ("seen", "unseen"))
    assert accuracy.per_class["unseen"].ap_11point is None
    assert accuracy.per_class["unseen"].num_detections == 1
    assert accuracy.map_11point == accuracy.map_area == pytest.approx(1.0)


def test_no_objects_and_no_detections_at_all():
    accuracy = evaluate([detections([], [])], [truth([])], CLASSES)
    assert accuracy.map_11point is None and accuracy.map_area is None
    missed = evaluate([detections([], [])], [truth([[0, 0, 9, 9]])], CLASSES)
    assert missed.map_11point == 0 and missed.map_area == 0


def test_counts_must_agree():
    with pytest.raises(LBWError, match="detections of 1 images, ground truth of 2"):
        evaluate([detections([], [])], [truth([]), truth([])], CLASSES)


class FixedCandidate:
    name = "broken"

    def __init__(self, found):
        self.found = found

    def detect(self, image):
        return self.found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (detections([[0, 0, 1, np.nan]], [0.5]), "broken, one.jpg: NaN or infinite"),
        (detections([[0, 0, 1, 1]], [np.inf]), "broken, one.jpg: NaN or infinite"),
        (detections([[0, 0, 1, 1]], [0.5], [3]), r"labels 3\.\.3, but there are 3 classes"),
        (detections([[0, 0, 1, 1]], [0.5, 0.4]), "do not belong together"),
    ],
)
def test_senseless_detections_are_refused(found, message, tmp_path):
    import cv2

    path = tmp_path / "one.jpg"
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))

    def load(path):
        return cv2.imread(str(path))

    test_set = TestSet(CLASSES, [TestImage("one", path, truth([]))], "one", load)
    with pytest.raises(LBWError, match=message):
        detect_all(FixedCandidate(found), test_set)


class FailsOnWide(FixedCandidate):
    def detect(self, image):
        if image.shape[1] > 5:
            raise DataError("too wide")
        return super().detect(image)


def test_images_that_cannot_be_used_are_left_out_if_asked():
    images = [TestImage(str(width), Path(f"{width}.jpg"), truth([])) for width in (4, 9, 5)]
    test_set = TestSet(CLASSES, images, "three", lambda path: np.zeros((4, int(path.stem), 3)))
    detector = FailsOnWide(detections([[0, 0, 1, 1]], [0.5]))
    left_out = {}
    found = detect_all(detector, test_set, True, left_out)
    assert [len(each.scores) for each in found] == [1, 0, 1] and left_out == {1: "9.jpg: too wide"}
    rest = test_set.without(left_out)
    assert [image.name for image in rest.images] == ["4", "5"]
    assert rest.left_out == ("9.jpg: too wide",)
    with pytest.raises(DataError, match=r"broken, 9\.jpg: too wide"):
        detect_all(detector, test_set)
    only = TestSet(CLASSES, images[1:2], "one", test_set.loader)
    with pytest.raises(DataError, match=r"broken, 9\.jpg: too wide"):
        detect_all(detector, only, True, {})
