"""Which images workers died at: one that is looked at for ever again would hold up everything.

A worker that is killed, or that a fault in a decoder ends, says nothing. So it notes beforehand
at which image it is, in a small file beside the shard's, which goes away with the shard's end.
"""

import os
import struct
from collections import Counter
from pathlib import Path

DEATHS = 5  # of workers at one image, after which it is left out
PREFIX = "_attempts-"
_ENTRY = struct.Struct("<q")


class Attempts:
    """The notes of all attempts at one shard.

    Args:
        path: of the shard.

    Raises:
        OSError: the notes cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{PREFIX}{path.stem}")
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        size = os.fstat(self._handle).st_size // _ENTRY.size * _ENTRY.size
        notes = os.pread(self._handle, size, 0)
        self._place = len(notes)
        self._deaths = Counter(index for (index,) in _ENTRY.iter_unpack(notes))

    def may_try(self, index: int) -> bool:
        """Notes that this image is next; False if too many workers have died at it."""
        os.pwrite(self._handle, _ENTRY.pack(index), self._place)
        return self._deaths[index] < DEATHS

    def __enter__(self) -> "Attempts":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Nobody has died: this attempt's note goes, and after a success all of them."""
        os.ftruncate(self._handle, self._place)
        os.close(self._handle)
        if kind is None or self._place == 0:
            self._path.unlink(missing_ok=True)
