import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from lbwdet.errors import ConfigError
from lbwdet.measuring.calibration_images import calibration_images, note_images, noted_images
from lbwdet.testing import tiny_config, write_tiny_voc


def numbers(folder: Path, num: int) -> list[int]:
    return [int(path.stem) for path in calibration_images(Config(), str(folder), num)]


def test_images_of_a_folder_are_taken_evenly(tmp_path):
    for number in range(252):
        (tmp_path / f"{number:03}.jpg").touch()
    assert numbers(tmp_path, 1) == [0]
    assert numbers(tmp_path, 3) == [0, 126, 251]
    assert numbers(tmp_path, 999) == list(range(252))
    assert len(set(numbers(tmp_path, 64))) == 64
    assert np.diff(numbers(tmp_path, 64)).max() <= 4


def test_images_of_a_split(tmp_path):
    root = write_tiny_voc(tmp_path / "data", num_trainval=5, num_test=2)
    cfg = tiny_config(root, tmp_path / "work")
    train, test = (calibration_images(cfg, split, 99) for split in ("train", "test"))
    assert (len(train), len(test)) == (5, 2) and not set(train) & set(test)
    assert all(path.is_file() for path in train + test)


def test_images_are_tried_before_anything_was_built(tmp_path):
    """In a new process, in which no step of a pipeline is registered yet."""
    folder = write_tiny_voc(tmp_path, 2, 1) / "VOC2007" / "JPEGImages"
    code = (
        "import sys; from lbwdet.configs import load_config; "
        "from lbwdet.measuring.calibration_images import calibration_images, usable_images; "
        "cfg = load_config('mmdet::yolox/yolox_nano_8xb8-300e_coco.py'); "
        "print(len(usable_images(cfg, calibration_images(cfg, sys.argv[1], 2))[0]))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.strip() == "2", result.stderr


def test_at_least_one_image(tmp_path):
    with pytest.raises(ConfigError, match="num=0: calibration needs 1 image or more"):
        numbers(tmp_path, 0)


def test_a_config_without_that_split():
    with pytest.raises(ConfigError, match="no 'train_dataloader' in this config"):
        calibration_images(Config(), "train", 4)


@pytest.mark.parametrize("source", ["train", "images"])
def test_a_checkpoint_says_which_images_made_it(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    meta = dict(lbwdet=dict(version="1", **note_images(source, 5)))
    torch.save(dict(meta=meta, state_dict=dict(w=torch.ones(1))), tmp_path / "a.pth")
    wanted = source if source == "train" else str(tmp_path / "images")  # found from anywhere
    assert noted_images(tmp_path / "a.pth") == (wanted, 5)


@pytest.mark.parametrize("told", [{}, dict(images=3), dict(images=dict(source=1, num=2))])
def test_a_checkpoint_that_does_not_say(tmp_path, told):
    torch.save(dict(meta=dict(lbwdet=told), state_dict=dict(w=torch.ones(1))), tmp_path / "a.pth")
    with pytest.raises(ConfigError, match=r"a\.pth: does not say which images it was made by"):
        noted_images(tmp_path / "a.pth")
