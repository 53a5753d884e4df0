"""The one door through which video files come in: which kinds, and one frame after the other.

Needs OpenCV where a video is opened.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lbwdet.errors import DataError

Array = NDArray[Any]

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
# How files of these kinds begin; QuickTime's have a length before the word.
STARTS = (b"RIFF", b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"G")
QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def is_video(source: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is taken for a video.

    >>> is_video("a.MP4"), is_video("a.jpg")
    (True, False)
    """
    return Path(source).suffix.lower() in SUFFIXES


def check_video(path: str | os.PathLike[str]) -> None:
    """OpenCV would take names of pipelines and addresses, and play lists that name other files.

    Raises:
        DataError: this is no video file of a kind that is read.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no video to read; there is no such file")
    with path.open("rb") as file:
        start = file.read(12)
    if not (start.startswith(STARTS) or start[4:8] in QUICKTIME):
        raise DataError(
            f"{path}: no video to read; it is none of MP4, MOV, AVI, MKV, WEBM, MPEG "
            f"(it begins with {start!r})"
        )


class VideoReader:
    """Frames by their number; cheap as long as the numbers rise.

    Frames are passed over one by one: what OpenCV's own search finds depends on the codec.

    Args:
        path: a video file.

    Raises:
        DataError: it is none that can be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._next = 0
        self._capture = self._open()

    def count(self) -> int:
        """Number of frames, counted: joined recordings have more than the first announces."""
        while self._capture.grab():
            self._next += 1
        return self._next

    def frames(self, first: int, count: int) -> Iterator[Array]:
        """uint8 [H, W, 3] BGR, from the frame with this number on.

        Raises:
            DataError: the video ends before.
        """
        if self._next > first:
            self._capture.release()
            self._capture, self._next = self._open(), 0
        while self._next < first and self._capture.grab():
            self._next += 1
        for number in range(first, first + count):
            read, frame = self._capture.read()
            if not read:
                raise DataError(f"{self.path}: frame {number} cannot be read")
            self._next += 1
            yield frame

    def _open(self) -> Any:
        import cv2

        check_video(self.path)
        capture = cv2.VideoCapture(self.path)
        if not capture.isOpened():
            raise DataError(f"{self.path}: no video to read; OpenCV cannot open it")
        return capture
