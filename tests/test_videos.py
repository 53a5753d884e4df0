import cv2
import numpy as np
import pytest

from lbwdet.errors import DataError
from lbwdet.videos import VideoReader, check_video

FRAMES = 7


@pytest.fixture
def video(tmp_path):
    """Frame n is all grey of 30 n."""
    path = tmp_path / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 16))
    for number in range(FRAMES):
        writer.write(np.full((16, 32, 3), 30 * number, np.uint8))
    writer.release()
    return path


def numbers(reader, first, count):
    return [round(frame.mean() / 30) for frame in reader.frames(first, count)]


def test_frames_by_number_forwards_and_back(video):
    reader = VideoReader(video)
    assert reader.count() == FRAMES
    assert numbers(reader, 2, 3) == [2, 3, 4]
    assert numbers(reader, 5, 2) == [5, 6]
    assert numbers(reader, 0, 1) == [0]
    assert numbers(reader, 0, 1) == [0]
    with pytest.raises(DataError, match=r"grey\.avi: frame 7 cannot be read"):
        numbers(reader, 6, 2)
    with pytest.raises(DataError, match="frame 9 cannot be read"):
        numbers(reader, 9, 1)


def test_what_is_no_video(tmp_path):
    with pytest.raises(DataError, match=r"a\.mp4: no video to read; there is no such file"):
        check_video(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_text("#EXTM3U\nhttp://localhost/")
    with pytest.raises(DataError, match="it is none of MP4"):
        VideoReader(tmp_path / "a.mp4")
    (tmp_path / "b.avi").write_bytes(b"RIFF" + bytes(30))
    with pytest.raises(DataError, match=r"b\.avi: no video to read"):
        VideoReader(tmp_path / "b.avi")
