"""Rows as COCO's JSON: a list of results, and the images and classes that it speaks of.

``COCO(images).loadRes(results)`` of pycocotools reads the two together.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lbwdet.bulk.rows import Row
from lbwdet.files import atomic_write

FIRST = 1  # of the numbers of images and of classes; some tools take 0 for none


def images_path(results: Path) -> Path:
    """Where the images and classes of a file of results stand.

    >>> images_path(Path("a/boxes.json")).name
    'boxes.images.json'
    """
    return results.with_name(f"{results.stem}.images.json")


def write_coco(path: Path, rows: Iterator[Row], classes: Sequence[str]) -> None:
    """Writes both files, one row after the other; images that could not be used are left out.

    Args:
        path: of the results.
        rows: of all images.
        classes: names, in the order of the labels.

    Raises:
        OSError: they cannot be written.
    """
    categories = [dict(id=label, name=name) for label, name in enumerate(classes, FIRST)]
    with atomic_write(path) as results, atomic_write(images_path(path)) as images:
        with results.open("w") as found, images.open("w") as seen:
            _write_lines(seen, "images", rows, found)
            seen.write(f'], "annotations": [], "categories": {json.dumps(categories)}}}\n')
            found.write("]\n")


def _write_lines(seen: Any, key: str, rows: Iterator[Row], found: Any) -> None:
    between_images, between_results = f'{{"{key}": [\n', "[\n"
    for row in rows:
        if row["error"] is None:
            seen.write(between_images + json.dumps(_image(row)))
            between_images = ",\n"
            for result in _results(row):
                found.write(between_results + json.dumps(result))
                between_results = ",\n"
    seen.write("" if between_images == ",\n" else between_images)
    found.write("" if between_results == ",\n" else between_results)


def _image(row: Row) -> dict[str, Any]:
    return dict(
        id=row["index"] + FIRST, file_name=row["image"], width=row["width"], height=row["height"]
    )


def _results(row: Row) -> Iterator[dict[str, Any]]:
    masks = row.get("masks") or [None] * len(row["scores"])
    for (x1, y1, x2, y2), label, score, mask in zip(
        row["boxes"], row["labels"], row["scores"], masks, strict=True
    ):
        yield dict(
            image_id=row["index"] + FIRST,
            category_id=label + FIRST,
            bbox=[x1, y1, x2 - x1, y2 - y1],
            score=score,
            **(
                {}
                if mask is None
                else dict(segmentation=dict(size=[row["height"], row["width"]], counts=mask))
            ),
        )
