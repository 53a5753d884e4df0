"""Average precision as MMDetection's VOC metric computes it, in both its protocols.

``VOCMetric`` gives one number per run. Here detections are matched once, with
MMDetection's own matching and average-precision functions (legacy coordinates:
a box from 3 to 5 is 3 pixels wide), and both protocols, every class and the
precision-recall curves are read off the same matches.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmdet.evaluation.functional import average_precision, bbox_overlaps
from mmdet.evaluation.functional.mean_ap import tpfp_default

from lbwdet.errors import DataError, LBWError
from lbwdet.measuring.candidates import Detections, Detects
from lbwdet.measuring.testset import GroundTruth, TestSet
from lbwdet.progress import Progress

IOU_THRESHOLD = 0.5


@dataclass(frozen=True)
class Match:
    """How the detections of one image fare against its ground truth.

    Attributes:
        true: [N] bool: the detection found an object.
        false: [N] bool: it found nothing, or an object found by a better
            one. Neither is set for a hit on an ignored object.
        truth_index: [N] int64: the object that a true one found, else -1.
    """

    true: np.ndarray
    false: np.ndarray
    truth_index: np.ndarray


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy on one class; both APs are None for a class without ground truth.

    ``recall`` and ``precision`` are [number of detections], by falling score.
    """

    ap_11point: float | None
    ap_area: float | None
    num_truths: int
    num_detections: int
    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on a test set; the means go over the classes that have ground truth.

    ``matches`` has one entry per image.
    """

    map_11point: float | None
    map_area: float | None
    per_class: dict[str, ClassAccuracy]
    matches: list[Match]

    @property
    def maps(self) -> dict[str, float | None]:
        """Both means, as they are called in every JSON file."""
        return dict(mAP_11point=self.map_11point, mAP_area=self.map_area)


def detect_all(
    detector: Detects,
    test_set: TestSet,
    quiet: bool = False,
    left_out: dict[int, str] | None = None,
) -> list[Detections]:
    """Detections of every test image, with a progress line unless ``quiet``.

    Args:
        detector: what detects.
        test_set: the images.
        quiet: shows no progress.
        left_out: gets the images that cannot be used, by index, and why; nothing is
            detected in them. Without it, the first of them is an error.

    Raises:
        LBWError: A detection is NaN or infinite, or an image (or, with ``left_out``, every
            image) cannot be used; the message names both the model and the image.
    """
    found: list[Detections] = []
    failed: dict[int, str] = {}
    stream = io.StringIO() if quiet else None
    with Progress(f"{detector.name}: detect", len(test_set), stream) as progress:
        for index, image in enumerate(test_set.images):
            try:
                detections = detector.detect(test_set.load(index))
            except DataError as error:
                failed[index] = f"{image.path.name}: {error}"
                if left_out is None or len(failed) == len(test_set):
                    raise DataError(f"{detector.name}, {failed[index]}") from error
                detections = Detections.none()
            detections.check(f"{detector.name}, {image.path.name}", len(test_set.classes))
            found.append(detections)
            progress.step()
    if left_out is not None:
        left_out.update(failed)
    return found


def evaluate(
    detections: Sequence[Detections], truths: Sequence[GroundTruth], classes: Sequence[str]
) -> Accuracy:
    """Matches detections with ground truth, image by image, and averages over classes."""
    if len(detections) != len(truths):
        raise LBWError(f"detections of {len(detections)} images, ground truth of {len(truths)}")
    matches = [
        match(found, truth, len(classes)) for found, truth in zip(detections, truths, strict=True)
    ]
    per_class = {
        name: _class_accuracy(label, detections, truths, matches)
        for label, name in enumerate(classes)
    }
    return Accuracy(
        map_11point=_mean([entry.ap_11point for entry in per_class.values()]),
        map_area=_mean([entry.ap_area for entry in per_class.values()]),
        per_class=per_class,
        matches=matches,
    )


def match(found: Detections, truth: GroundTruth, num_classes: int) -> Match:
    """VOC matching of one image.

    Each detection takes the object of its class that it overlaps most, if by
    at least ``IOU_THRESHOLD``. The best-scored detection of an object is
    true, the others are false.
    """
    count = len(found.scores)
    true, false = np.zeros(count, bool), np.zeros(count, bool)
    truth_index = np.full(count, -1, np.int64)
    for label in range(num_classes):
        mine = np.flatnonzero(found.labels == label)
        wanted = np.flatnonzero((truth.labels == label) & ~truth.ignored)
        ignored = np.flatnonzero((truth.labels == label) & truth.ignored)
        scored = np.hstack([found.boxes[mine], found.scores[mine, None]])
        tp, fp = tpfp_default(
            scored,
            truth.boxes[wanted],
            truth.boxes[ignored],
            IOU_THRESHOLD,
            use_legacy_coordinate=True,
        )
        true[mine], false[mine] = tp[0] > 0, fp[0] > 0
        hits = mine[tp[0] > 0]
        if len(hits):
            objects = np.concatenate([wanted, ignored])
            overlaps = bbox_overlaps(
                found.boxes[hits], truth.boxes[objects], use_legacy_coordinate=True
            )
            truth_index[hits] = objects[overlaps.argmax(axis=1)]
    return Match(true, false, truth_index)


def _class_accuracy(
    label: int,
    detections: Sequence[Detections],
    truths: Sequence[GroundTruth],
    matches: Sequence[Match],
) -> ClassAccuracy:
    mine = [found.labels == label for found in detections]
    scores = np.concatenate([d.scores[m] for d, m in zip(detections, mine, strict=True)])
    true = np.concatenate([entry.true[m] for entry, m in zip(matches, mine, strict=True)])
    false = np.concatenate([entry.false[m] for entry, m in zip(matches, mine, strict=True)])
    num_truths = sum(int(((t.labels == label) & ~t.ignored).sum()) for t in truths)

    order = np.argsort(-scores)
    hits = np.cumsum(true[order].astype(np.float32))
    misses = np.cumsum(false[order].astype(np.float32))
    tiny = np.finfo(np.float32).eps
    recall = hits / np.maximum(np.array([num_truths]), tiny)
    precision = hits / np.maximum(hits + misses, tiny)
    measured = num_truths > 0
    return ClassAccuracy(
        ap_11point=float(average_precision(recall, precision, "11points")) if measured else None,
        ap_area=float(average_precision(recall, precision, "area")) if measured else None,
        num_truths=num_truths,
        num_detections=len(scores),
        recall=recall,
        precision=precision,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    # In float32, as MMDetection does: the last digit agrees, too.
    return np.array(measured, np.float32).mean().item() if measured else None
