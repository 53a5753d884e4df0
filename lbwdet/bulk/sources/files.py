"""Image files: those below a folder, or those that a text file lists."""

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lbwdet.bulk.listing import Entry, Listing, Shard, cut, digest_of
from lbwdet.errors import DataError
from lbwdet.images import SUFFIXES, read_image


@dataclass(frozen=True)
class FileReader:
    """Image files by their paths below a folder."""

    folder: str

    def entries(self, shard: Shard) -> Iterator[Entry]:
        for name in shard.where:
            path = os.path.join(self.folder, name)
            yield Entry(name, functools.partial(read_image, path))


def list_folder(folder: Path, size: int) -> Listing | None:
    """The image files of a folder and those below it, by name; None if there is none."""
    names = sorted(_walk(folder))
    return _listing("folder", folder, names, size) if names else None


def list_image(path: Path, size: int) -> Listing:
    """A single image."""
    return _listing("image", path.parent, [path.name], size)


def list_lines(path: Path, size: int) -> Listing:
    """The image files that a text file names, one a line, as seen from its folder.

    Raises:
        DataError: it is no text, or empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no list of images in UTF-8 ({error})") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(f"{path}: names no image; write one path on each line")
    return _listing("list", path.parent, names, size)


def _listing(kind: str, folder: Path, names: Sequence[str], size: int) -> Listing:
    def where(first: int, count: int) -> tuple[str, ...]:
        return tuple(names[first : first + count])

    digest = digest_of((name, os.path.join(folder, name)) for name in names)
    reader = FileReader(os.path.abspath(folder))
    below = names if kind != "list" else None
    return Listing(kind, reader, cut(size, [(len(names), where)]), digest, below)


def _walk(folder: Path) -> Iterator[str]:
    def stop(error: OSError) -> None:
        raise error  # or a folder without permission would be passed over without a word

    for place, _, files in os.walk(folder, onerror=stop):
        for name in files:
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                yield os.path.relpath(os.path.join(place, name), folder)
