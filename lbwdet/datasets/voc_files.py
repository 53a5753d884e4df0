"""Reads the files of a data set in the PASCAL VOC layout; whatever is wrong is a DataError."""

import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lbwdet.errors import DataError
from lbwdet.images import SUFFIXES

# The first found is taken.
IMAGE_SUFFIXES = [
    spelt(suffix) for spelt in (str.lower, str.upper, str.title) for suffix in SUFFIXES
]


class VOCObject(NamedTuple):
    """An annotated object; ``box`` is xmin, ymin, xmax, ymax as written, pixels counted from 1."""

    name: str
    box: tuple[int, int, int, int]
    difficult: bool


class Annotation(NamedTuple):
    """An annotation file; ``size`` is width and height, None where the file does not say."""

    size: tuple[int, int] | None
    objects: list[VOCObject]


def some(cases: Sequence[str], limit: int = 5) -> str:
    """The first few cases, and how many more there are."""
    more = len(cases) - limit
    return ", ".join(cases[:limit]) + (f" and {more} more" if more > 0 else "")


def read_ids(ann_file: str | Path) -> list[str]:
    """The image ids in a list file: one a line, blank lines and outer blanks dropped.

    A byte-order mark, as Windows writes it, is no part of the first.
    """
    try:
        lines = Path(ann_file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{ann_file}: cannot be read as a list of images in UTF-8 ({error})"
        ) from error
    return [line.strip() for line in lines if line.strip()]


def find_image(folder: str | Path, image_id: str) -> str | None:
    """The path of the image with this id, whichever of the usual suffixes it has."""
    stem = os.path.join(folder, image_id)
    return next((stem + suffix for suffix in IMAGE_SUFFIXES if os.path.isfile(stem + suffix)), None)


def read_annotation(path: str | Path) -> Annotation:
    """Parses one annotation file.

    Raises:
        DataError: The file is missing or no XML, or a field that is needed is
            missing or no number; the message names file, object and field.
    """
    try:
        root = ET.parse(path).getroot()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ET.ParseError, ValueError, LookupError) as error:  # the last two: odd encodings
        raise DataError(f"{path}: malformed XML ({error})") from error

    size = root.find("size")
    return Annotation(
        size=None
        if size is None
        else (_number(size, "width", path, "size"), _number(size, "height", path, "size")),
        objects=[
            _read_object(element, path, f"object {number}")
            for number, element in enumerate(root.iterfind("object"), start=1)
        ],
    )


def _read_object(element: ET.Element, path: str | Path, where: str) -> VOCObject:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise DataError(f"{path}: {where} has no <name>")
    where += f" ({name})"
    box = element.find("bndbox")
    if box is None:
        raise DataError(f"{path}: {where} has no <bndbox>")
    x1, y1, x2, y2 = (_number(box, key, path, where) for key in ("xmin", "ymin", "xmax", "ymax"))
    difficult = element.find("difficult") is not None and _number(element, "difficult", path, where)
    return VOCObject(name, (x1, y1, x2, y2), bool(difficult))


def _number(element: ET.Element, key: str, path: str | Path, where: str) -> int:
    """The whole part of a number, as MMDetection reads VOC's now and then fractional boxes."""
    text = element.findtext(key)
    if text is None:
        raise DataError(f"{path}: {where} has no <{key}>")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}: {where}: <{key}> is {text.strip()!r}, not a number")
    return int(value)
