from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from lbwdet.errors import ConfigError
from lbwdet.measuring.calibration_images import calibration_images
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


def test_at_least_one_image(tmp_path):
    with pytest.raises(ConfigError, match="num=0: calibration needs 1 image or more"):
        numbers(tmp_path, 0)


def test_a_config_without_that_split():
    with pytest.raises(ConfigError, match="no 'train_dataloader' in this config"):
        calibration_images(Config(), "train", 4)
