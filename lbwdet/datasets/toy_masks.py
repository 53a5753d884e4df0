"""Masks of the toy set: COCO's JSON beside the VOC files, of the same images and boxes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from lbwdet.datasets.toy_drawing import CLASSES, ToyObject
from lbwdet.files import write_json

FOLDER = "annotations"


def write_masks(
    root: Path, objects: Mapping[str, Sequence[Sequence[ToyObject]]], size: Sequence[int]
) -> None:
    """Writes ``root/annotations/<split>.json``, as COCO's instances.

    Boxes are the VOC ones: of the whole object, hidden parts included, while its mask has
    only what can be seen.

    Args:
        root: of the data set.
        objects: of each image of each split, in their order.
        size: width and height of every image.
    """
    (root / FOLDER).mkdir(exist_ok=True)
    categories = [dict(id=label, name=name) for label, name in enumerate(CLASSES, 1)]
    for split, images in objects.items():
        entries = [
            dict(id=number, file_name=f"{split}_{number:05d}.jpg", width=size[0], height=size[1])
            for number in range(len(images))
        ]
        found = [(number, one) for number, shown in enumerate(images) for one in shown]
        content = dict(
            images=entries,
            annotations=[
                dict(id=at, image_id=number, **_instance(one))
                for at, (number, one) in enumerate(found, 1)
            ],
            categories=categories,
        )
        write_json(root / FOLDER / f"{split}.json", content)


def _instance(one: ToyObject) -> dict[str, Any]:
    x1, y1, x2, y2 = one.box
    runs = coco.encode(np.asfortranarray(one.mask.astype(np.uint8)))
    return dict(
        category_id=CLASSES.index(one.name) + 1,
        bbox=[x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1],
        area=int(one.mask.sum()),
        segmentation=dict(size=list(runs["size"]), counts=runs["counts"].decode("ascii")),
        iscrowd=0,
    )
