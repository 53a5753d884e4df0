"""The frames of a video."""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lbwdet.bulk.listing import Array, Entry, Listing, Shard, cut, digest_of
from lbwdet.errors import DataError
from lbwdet.videos import VideoReader


@dataclass
class FrameReader:
    """Frames by number; a worker keeps the video open and passes over what others take."""

    path: str
    _video: VideoReader | None = field(default=None, compare=False)

    def entries(self, shard: Shard) -> Iterator[Entry]:
        if self._video is None:
            self._video = VideoReader(self.path)
        (first,) = shard.where
        frames = self._video.frames(first, shard.count)
        for number, frame in enumerate(frames, first):
            name = f"{os.path.basename(self.path)}#{number}"
            yield Entry(name, functools.partial(_itself, frame))

    def __getstate__(self) -> dict[str, Any]:
        return dict(path=self.path, _video=None)


def _itself(frame: Array) -> Array:
    return frame


def list_frames(path: Path, size: int) -> Listing:
    """The frames of a video, counted by reading it once.

    Raises:
        DataError: it is none, or has no frame.
    """
    count = VideoReader(path).count()
    if count == 0:
        raise DataError(f"{path}: no frame of this video can be read")
    shards = cut(size, [(count, lambda first, number: (first,))])
    reader = FrameReader(os.path.abspath(path))
    return Listing("video", reader, shards, digest_of([(path.name, path)]))
