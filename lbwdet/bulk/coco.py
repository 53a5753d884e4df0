"""Rows as COCO's JSON: a list of results, and the images and classes that it speaks of.

``COCO(images).loadRes(results)`` of pycocotools reads the two together.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

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
    with contextlib.ExitStack() as stack:
        found = _Lines(stack.enter_context(stack.enter_context(atomic_write(path)).open("w")))
        other = stack.enter_context(atomic_write(images_path(path)))
        seen = _Lines(stack.enter_context(other.open("w")))
        found.text("[")
        seen.text('{"images": [')
        for row in rows:
            if row["error"] is None:
                seen.item(_image(row))
                for result in _results(row):
                    found.item(result)
        found.text("\n]\n")
        seen.text(f'\n],\n"annotations": [],\n"categories": {json.dumps(categories)}}}\n')


class _Lines:
    """A JSON text written item by item: a long list need not fit into memory."""

    def __init__(self, file: IO[str]) -> None:
        self.text = file.write
        self._between = "\n"

    def item(self, value: Any) -> None:
        self.text(self._between + json.dumps(value, allow_nan=False))
        self._between = ",\n"


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
