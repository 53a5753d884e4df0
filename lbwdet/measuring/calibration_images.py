"""Which images a quantizer is calibrated on."""

from pathlib import Path

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config

from lbwdet.configs import SPLITS
from lbwdet.datasets import check_data
from lbwdet.datasets.image_files import find_images
from lbwdet.errors import ConfigError, DataError
from lbwdet.training.build import register_scope


def calibration_images(cfg: Config, source: str, num: int) -> list[Path]:
    """Files of ``num`` images, taken evenly from all there are, always the same ones.

    Args:
        cfg: of the detector.
        source: ``'train'``, ``'val'`` or ``'test'`` for images of the config's data set,
            or else an image or a folder of images.
        num: fewer if there are not so many.

    Raises:
        ConfigError: the config has no such data set, or ``num`` is below 1.
        DataError: no images, or not where the config says.
    """
    if num < 1:
        raise ConfigError(f"num={num}: calibration needs 1 image or more")
    paths = _of_split(cfg, source) if source in SPLITS else find_images(source)
    chosen = np.linspace(0, len(paths) - 1, min(num, len(paths))).round().astype(int)
    return [paths[index] for index in chosen]


def _of_split(cfg: Config, split: str) -> list[Path]:
    loader = cfg.get(f"{split}_dataloader")
    if not loader:
        raise ConfigError(f"{cfg.filename}: no '{split}_dataloader' in this config")
    check_data(cfg, (split,))
    register_scope(cfg)
    dataset = DATASETS.build(loader.dataset)
    dataset.full_init()
    paths = (dataset.get_data_info(index)["img_path"] for index in range(len(dataset)))
    found = [Path(path) for path in dict.fromkeys(paths)]  # a repeated data set names them twice
    if not found:
        raise DataError(f"{cfg.filename}: the '{split}' data set has no image to calibrate on")
    return found
