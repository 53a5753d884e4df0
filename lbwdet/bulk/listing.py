"""Images as shards in a stable order: what a run is cut into, and what a worker reads."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from lbwdet.errors import DataError

Array = NDArray[Any]


@dataclass(frozen=True)
class Shard:
    """Neighbouring images that one worker takes, and that become one file.

    Attributes:
        number: of the shard.
        first: the number of its first image, of all.
        count: of its images.
        where: what its reader finds them by: texts and numbers.
    """

    number: int
    first: int
    count: int
    where: tuple[Any, ...]


class Entry(NamedTuple):
    """One image: what it is called, and what loads it (uint8 [H, W, 3] BGR, or a DataError)."""

    name: str
    load: Callable[[], Array]


class Reader(Protocol):
    """Opens the images of any shard of one source; goes to the workers, so it is small."""

    def entries(self, shard: Shard) -> Iterator[Entry]:
        """Its images, ``shard.count`` of them.

        Raises:
            DataError: the source is not any more what was listed.
        """
        ...


@dataclass(frozen=True)
class Listing:
    """A source as a run sees it.

    Attributes:
        kind: of the source, a word.
        reader: of its images.
        shards: all of them.
        digest: of names, sizes and times of its files: another one means another source.
        names: of the images, where each is a file below one folder; else None.
    """

    kind: str
    reader: Reader
    shards: Sequence[Shard]
    digest: str
    names: Sequence[str] | None = None

    @property
    def images(self) -> int:
        """Number of images."""
        last = self.shards[-1]
        return last.first + last.count


def cut(
    size: int, parts: Iterable[tuple[int, Callable[[int, int], tuple[Any, ...]]]]
) -> list[Shard]:
    """Shards of up to ``size`` images, none of which reaches over the end of a part.

    Args:
        parts: of each its number of images, and what gives ``where`` from a first image and a
            count.

    >>> [shard.where for shard in cut(2, [(3, lambda first, count: ("a", first, count))])]
    [('a', 0, 2), ('a', 2, 1)]
    """
    shards: list[Shard] = []
    total = 0
    for images, where in parts:
        for first in range(0, images, size):
            count = min(size, images - first)
            shards.append(Shard(len(shards), total + first, count, where(first, count)))
        total += images
    return shards


def digest_of(files: Iterable[tuple[str, str | os.PathLike[str]]]) -> str:
    """Of each file its name, size and time of change; one that is missing counts, too."""
    digest = hashlib.sha256()
    for name, path in files:
        try:
            found = os.stat(path)
            state = f"{found.st_size} {found.st_mtime_ns}"
        except (OSError, ValueError):
            state = "missing"
        digest.update(f"{name}\0{state}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def fitting(number: int, shard: Shard, source: str) -> None:
    """Raises DataError if a source has given another number of images than were listed."""
    if number != shard.count:
        raise DataError(
            f"{source}: {number} of {shard.count} images of shard {shard.number} are there; it was "
            "changed while it was read"
        )
