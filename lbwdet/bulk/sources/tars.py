"""Images in tar files, as WebDataset writes them.

Only members that are images are opened: WebDataset's other members may be pickles, which run
code. No member's name is ever a path to write to.
"""

import functools
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lbwdet.bulk.listing import Array, Entry, Listing, Shard, cut, digest_of, fitting
from lbwdet.errors import DataError, first_line
from lbwdet.images import MAX_BYTES, SUFFIXES, decode_image

_BLOCK = 512
_END = bytes(_BLOCK)


@dataclass(frozen=True)
class TarReader:
    """Images in tar files, by file and the place of the first one's header."""

    folder: str

    def entries(self, shard: Shard) -> Iterator[Entry]:
        name, start = shard.where
        number = 0
        with open(os.path.join(self.folder, name), "rb") as file:
            for member in _images(file, name, start):
                place = f"{name}/{member.name}"
                yield Entry(place, functools.partial(_load, file, member, place))
                number += 1
                if number == shard.count:
                    break
        fitting(number, shard, name)


def list_tars(folder: Path, names: Sequence[str], size: int) -> Listing:
    """The images in tar files; every header is read once, the data are passed over.

    Raises:
        DataError: one cannot be read whole, or there is no image in any.
    """
    parts: list[tuple[int, Callable[[int, int], tuple[Any, ...]]]] = []
    for name in names:
        with (folder / name).open("rb") as file:
            places = [member.offset for member in _images(file, os.fspath(folder / name), 0)]
        starts = places[::size]
        parts.append((len(places), functools.partial(_where, name, size, starts)))
    shards = cut(size, parts)
    if not shards:
        raise DataError(
            f"{folder / names[0]}: no image in it (looked for members of the kinds "
            f"{', '.join(SUFFIXES)})"
        )
    digest = digest_of((name, folder / name) for name in names)
    return Listing("tar", TarReader(os.path.abspath(folder)), shards, digest)


def _where(name: str, size: int, starts: list[int], first: int, count: int) -> tuple[Any, ...]:
    return name, starts[first // size]


def _images(file: io.BufferedReader, name: str, start: int) -> Iterator[tarfile.TarInfo]:
    """The members that are images, from the one with its header at ``start`` on."""
    file.seek(start)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                if member.isreg() and os.path.splitext(member.name)[1].lower() in SUFFIXES:
                    yield member
            end = tar.offset
    except tarfile.TarError as error:
        raise DataError(
            f"{name}: no tar file that can be read: {first_line(error)} (it must not be compressed)"
        ) from error
    # Python takes a broken header in the middle for the end.
    file.seek(end)
    if file.read(_BLOCK) != _END:
        raise DataError(f"{name}: truncated or damaged: no end of a tar file at byte {end:,}")


def _load(file: io.BufferedReader, member: tarfile.TarInfo, name: str) -> Array:
    if member.issparse() or not 0 < member.size <= MAX_BYTES:
        raise DataError(f"{name}: {member.size:,} bytes; images of 1 to {MAX_BYTES:,} are read")
    file.seek(member.offset_data)
    return decode_image(io.BytesIO(file.read(member.size)), name)
