"""`lbwdet demo SOURCE model.lbw`: images and videos, drawn."""

import json

import cv2
import numpy as np
import pytest

from lbwdet.cli import main

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
