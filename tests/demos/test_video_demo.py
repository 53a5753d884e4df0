"""`lbwdet demo SOURCE model.lbw`: images and videos, drawn."""

import itertools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from lbwdet.cli import main
from lbwdet.demos.video_demo import draw_video
from lbwdet.errors import DataError
from lbwdet.measuring.candidates import Detections

FRAMES = 5


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "moving.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (120, 80))
    random = np.random.default_rng(0)
    for _ in range(FRAMES):
        writer.write(random.integers(0, 256, (80, 120, 3), np.uint8))
    writer.release()
    return str(path)


def run(*arguments):
    return main(["demo", *map(str, arguments), "--score-thr", "0.05", "--threads", "1"])


def test_a_folder_of_images(artifact, voc_root, tmp_path, capsys):
    images = str(voc_root / "VOC2007" / "JPEGImages")
    assert run(images, artifact, "--out-dir", str(tmp_path)) == 0
    written = json.loads((tmp_path / "detections.json").read_text())
    assert written["engine"] == "native" and len(written["images"]) == 3
    assert sum(path.suffix == ".jpg" for path in tmp_path.iterdir()) == 3
    assert "3 images" in capsys.readouterr().out


def test_a_video_keeps_its_frames_and_size(artifact, video, tmp_path, capsys):
    assert run(video, artifact, "--out-dir", str(tmp_path)) == 0
    written = json.loads((tmp_path / "detections.json").read_text())
    assert len(written["frames"]) == FRAMES
    drawn = cv2.VideoCapture(str(tmp_path / written["video"]))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert drawn.get(cv2.CAP_PROP_FRAME_WIDTH) == 120
    assert f"{FRAMES} frames" in capsys.readouterr().out
    assert {path.suffix for path in tmp_path.iterdir()} == {".mp4", ".json"}


def announce(path, count):
    """Has an AVI file say that it has so many frames."""
    data = bytearray(path.read_bytes())
    for name, place in ((b"avih", 24), (b"strh", 40)):
        start = data.index(name) + place
        data[start : start + 4] = count.to_bytes(4, "little")
    path.write_bytes(data)


@pytest.mark.parametrize("announced", [2, 9])
def test_the_headers_count_is_not_believed(artifact, video, tmp_path, announced, capsys):
    other = tmp_path / "announced.avi"
    shutil.copy(video, other)
    announce(other, announced)
    assert cv2.VideoCapture(str(other)).get(cv2.CAP_PROP_FRAME_COUNT) == announced
    assert run(str(other), artifact, "--out-dir", str(tmp_path / "out")) == 0
    written = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(written["frames"]) == FRAMES
    assert ("the end" in written["failed"]) == (announced > FRAMES)
    assert ("5 of 9 announced frames can be read" in capsys.readouterr().err) == (announced > 5)


def test_joined_recordings_are_read_to_the_end(artifact, video, tmp_path):
    joined = tmp_path / "joined.avi"
    joined.write_bytes(2 * Path(video).read_bytes())
    assert cv2.VideoCapture(str(joined)).get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert run(str(joined), artifact, "--out-dir", str(tmp_path / "out")) == 0
    written = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(written["frames"]) == 2 * FRAMES


class Sometimes:
    """A candidate that cannot take every other frame."""

    classes, config, checkpoint, engine = ("a",), "c", None, "e"

    def __init__(self):
        self.turn = itertools.cycle([True, False])

    def detect(self, image):
        if next(self.turn):
            return Detections.none()
        raise DataError("too large")


def test_a_frame_that_cannot_be_used_does_not_end_the_video(video, tmp_path):
    written = draw_video(Sometimes(), video, tmp_path, 0.3)
    assert len(written["frames"]) == FRAMES
    assert written["failed"] == {f"frame {n}": f"frame {n}: too large" for n in (1, 3)}


def test_a_video_that_cannot_be_written_whole_is_none(video, tmp_path, monkeypatch):
    class Full:
        def isOpened(self):
            return True

        def write(self, frame):
            pass

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoWriter", lambda *arguments: Full())
    with pytest.raises(DataError, match=r"moving\.mp4: 0 of 5 frames could be written; is there"):
        draw_video(Sometimes(), video, tmp_path, 0.3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", [b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", b"ffconcat version 1.0\nfile a", b""]
)
def test_play_lists_are_no_videos(artifact, tmp_path, content, capsys):
    (tmp_path / "a.mp4").write_bytes(content)
    assert run(str(tmp_path / "a.mp4"), artifact, "--out-dir", str(tmp_path / "out")) == 2
    assert "no video to read" in capsys.readouterr().err


def test_only_the_first_frames(artifact, video, tmp_path):
    assert run(video, artifact, "--out-dir", str(tmp_path), "--max-frames", "2") == 0
    assert len(json.loads((tmp_path / "detections.json").read_text())["frames"]) == 2


@pytest.mark.parametrize(
    ("source", "message"),
    [("77", "camera 77"), ("no_video.mp4", "no video"), ("nowhere", "no such image or folder")],
)
def test_sources_that_are_not_there(artifact, source, message, tmp_path, capsys):
    assert run(source, artifact, "--out-dir", str(tmp_path)) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
