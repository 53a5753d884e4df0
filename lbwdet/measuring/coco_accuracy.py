"""Average precision as COCO measures it, of boxes or of masks, by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lbwdet.errors import DataError
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.testset import GroundTruth

KINDS = {"box": "bbox", "mask": "segm"}
MOST = 100  # detections of an image that count


def coco_accuracy(
    detections: Sequence[Detections],
    truths: Sequence[GroundTruth],
    classes: Sequence[str],
    kind: str,
) -> dict[str, float]:
    """Mean over the classes with ground truth, of all sizes.

    Args:
        detections, truths: of each image.
        classes: names, in the order of the labels.
        kind: ``'box'``: by the overlap of boxes, or ``'mask'``: of masks.

    Returns:
        ``<kind>_AP50``: at IoU 0.5; ``<kind>_AP``: the mean from 0.5 to 0.95 in steps of 0.05.
        0..1.

    Raises:
        DataError: masks are asked for, and an image with objects has none; or nothing is annotated.
    """
    images = [dict(id=number, height=0, width=0) for number in range(len(truths))]  # masks know
    categories = [dict(id=label, name=name) for label, name in enumerate(classes)]
    wanted, found = COCO(), COCO()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        pairs: list[tuple[COCO, Sequence[Detections | GroundTruth]]]
        pairs = [(wanted, truths), (found, detections)]
        for into, instances in pairs:
            entries = [
                dict(entry, image_id=number)
                for number, one in enumerate(instances)
                for entry in _instances(one, kind)
            ]
            # From 1: where COCO notes who is matched, 0 is nobody.
            numbered = [dict(entry, id=number) for number, entry in enumerate(entries, 1)]
            into.dataset = dict(images=images, categories=categories, annotations=numbered)
            into.createIndex()
        run = COCOeval(wanted, found, KINDS[kind])
        run.evaluate()
        run.accumulate()
    # [IoU, recall, class, size, number]; -1 where a class has no ground truth.
    precision = run.eval["precision"][:, :, :, 0, run.params.maxDets.index(MOST)]
    precision = precision[:, :, precision[0, 0] >= 0]
    if not precision.size:
        raise DataError("no annotated object: there is nothing to measure accuracy on")
    return {f"{kind}_AP50": float(precision[0].mean()), f"{kind}_AP": float(precision.mean())}


def _instances(one: Detections | GroundTruth, kind: str) -> list[dict[str, Any]]:
    if kind == "mask" and one.masks is None and len(one.labels):
        raise DataError("mask AP needs masks of every object, annotated and detected")
    if isinstance(one, Detections):
        more = [dict(score=float(score), iscrowd=0) for score in one.scores]
    else:
        more = [dict(iscrowd=int(ignored), ignore=int(ignored)) for ignored in one.ignored]
    entries = []
    for index, (box, label) in enumerate(zip(one.boxes, one.labels, strict=True)):
        x1, y1, x2, y2 = (float(side) for side in box)
        entry = dict(category_id=int(label), bbox=[x1, y1, x2 - x1, y2 - y1], **more[index])
        entry["area"] = (x2 - x1) * (y2 - y1)
        if kind == "mask":
            assert one.masks is not None
            entry |= dict(segmentation=one.masks[index].coco(), area=one.masks[index].area)
        entries.append(entry)
    return entries
