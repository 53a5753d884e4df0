"""Memory of big tensors goes back to the system when they go.

Passes that wait for each other are a hundred threads, and to glibc each of them is a reason to
keep the blocks that it freed: after the first layers of YOLOX-Nano 0.7 GB of tensors were 2.0 GB
of memory. Blocks that are mapped one by one are given back at once.
"""

import contextlib
import ctypes
from collections.abc import Iterator

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
_BIG = 1 << 20  # bytes; smaller ones are too many to map
_LARGEST = 32 << 20  # where glibc's own, moving threshold ends


@contextlib.contextmanager
def big_blocks_returned() -> Iterator[None]:
    """Meanwhile blocks from 1 MB on are mapped one by one; without glibc nothing is changed."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_THRESHOLD, _BIG)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
