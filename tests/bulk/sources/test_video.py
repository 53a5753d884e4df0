import pickle

import cv2
import numpy as np
import pytest

from lbwdet.bulk.sources.video import list_frames
from lbwdet.errors import DataError


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 16))
    for number in range(7):
        writer.write(np.full((16, 32, 3), 30 * number, np.uint8))
    writer.release()
    return path


def test_every_frame_is_in_its_shard(video):
    listing = list_frames(video, 3)
    assert [shard.count for shard in listing.shards] == [3, 3, 1]
    for other in (listing.reader, pickle.loads(pickle.dumps(listing.reader))):
        for shard in (*listing.shards, listing.shards[0]):
            for number, entry in enumerate(other.entries(shard), shard.first):
                assert entry.name == f"grey.avi#{number}"
                assert round(entry.load().mean() / 30) == number


def test_no_video(tmp_path):
    (tmp_path / "a.avi").write_bytes(b"RIFF" + bytes(30))
    with pytest.raises(DataError, match=r"a\.avi: no "):
        list_frames(tmp_path / "a.avi", 3)
