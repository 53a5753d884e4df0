"""Rows as a folder in VOC's layout: an XML file for each image, and the list of them.

``Annotations/<image>.xml`` is read by whatever reads VOC's annotations; scores stand beside the
boxes. Boxes are whole pixels, counted from 1, within the image. Masks are not in this format.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from lbwdet.bulk.rows import Row
from lbwdet.errors import DataError
from lbwdet.files import atomic_folder

LIST = "ImageSets/Main/detected.txt"
_DIGITS = 9


def ids_of(names: Sequence[str]) -> list[str]:
    """What the files of images below one folder are called: as they are, without the suffix.

    Raises:
        DataError: two would be called the same.

    >>> ids_of(["a.jpg", "b/c.d.png"])
    ['a', 'b/c.d']
    """
    ids = [str(PurePath(name).with_suffix("")) for name in names]
    owners: dict[str, str] = {}
    for name, image_id in zip(names, ids, strict=True):
        if image_id in owners:
            raise DataError(
                f"{owners[image_id]} and {name} would both be {image_id}.xml; rename one of them, "
                "or choose another --format"
            )
        owners[image_id] = name
    return ids


def write_voc(
    path: Path, rows: Iterator[Row], classes: Sequence[str], ids: Sequence[str] | None
) -> None:
    """Writes the folder, whole or not at all; images that could not be used are left out.

    Args:
        path: of the folder, which is not there yet.
        rows: of all images.
        classes: names, in the order of the labels.
        ids: of the images, by their number; None: their numbers. Names out of tar files and
            tables are never used as paths.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_folder(path) as folder:
        listed = folder / LIST
        listed.parent.mkdir(parents=True)
        with listed.open("w", encoding="utf-8", errors="surrogateescape") as lines:
            for row in rows:
                if row["error"] is None:
                    index = row["index"]
                    image_id = f"{index:0{_DIGITS}d}" if ids is None else ids[index]
                    file = folder / "Annotations" / f"{image_id}.xml"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(annotation(row, classes))
                    lines.write(f"{image_id}\n")
        folder.rename(path)


def annotation(row: Row, classes: Sequence[str]) -> bytes:
    """The XML of one image."""
    root = ET.Element("annotation")
    _add(root, "filename", _letters(row["image"]))
    size = ET.SubElement(root, "size")
    for name, value in (("width", row["width"]), ("height", row["height"]), ("depth", 3)):
        _add(size, name, value)
    for box, label, score in zip(row["boxes"], row["labels"], row["scores"], strict=True):
        element = ET.SubElement(root, "object")
        _add(element, "name", _letters(classes[label]))
        _add(element, "difficult", 0)
        _add(element, "score", f"{score:.6f}")
        corners = ET.SubElement(element, "bndbox")
        limits = (row["width"], row["height"]) * 2
        for name, side, limit in zip(("xmin", "ymin", "xmax", "ymax"), box, limits, strict=True):
            _add(corners, name, min(max(round(side) + 1, 1), limit))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8")
    return text


def _add(parent: ET.Element, name: str, value: object) -> None:
    ET.SubElement(parent, name).text = str(value)


def _letters(text: str) -> str:
    """What XML can hold of a text: it has no control characters."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
