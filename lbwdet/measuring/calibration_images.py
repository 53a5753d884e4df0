"""Which images a quantizer is calibrated on."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config

from lbwdet.checkpoints import read_checkpoint
from lbwdet.configs import SPLITS
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.datasets.voc_files import some
from lbwdet.errors import ConfigError, DataError, first_line
from lbwdet.images import find_images
from lbwdet.measuring.candidates import array_pipeline
from lbwdet.measuring.detectors import test_dataset
from lbwdet.measuring.testset import split_dataset
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


def note_images(source: str, num: int) -> dict[str, Any]:
    """What a checkpoint's ``meta['lbwdet']`` says of the images that it was made by."""
    source = source if source in SPLITS else str(Path(source).resolve())
    return dict(images=dict(source=source, num=num))


def noted_images(checkpoint: str | Path) -> tuple[str, int]:
    """``source`` and ``num`` of :func:`calibration_images`, as :func:`note_images` noted them.

    Raises:
        ConfigError: the checkpoint does not say.
        CheckpointError: it cannot be read.
    """
    _, meta = read_checkpoint(checkpoint)
    match meta.get("lbwdet"):
        case {"images": {"source": str(source), "num": int(num)}}:
            return source, num
    raise ConfigError(
        f"{checkpoint}: does not say which images it was made by, as those of lbwdet quantize "
        "--post-training do; name some for the ranges of activations: --calibrate train"
    )


def usable_images(cfg: Config, paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Those of these files that the test pipeline can load and resize; and why others cannot.

    Raises:
        DataError: none can.
    """
    register_scope(cfg)  # the pipeline's steps, if nothing has been built yet
    loader = ImageLoader.of(test_dataset(cfg)["pipeline"])
    pipeline = Compose(array_pipeline(cfg))
    usable: list[Path] = []
    left_out: list[str] = []
    for path in paths:
        try:
            image = loader(path)
            try:
                pipeline(dict(img=image, img_id=0))
            except Exception as error:  # of any step, on an image so long or so thin
                shape = list(image.shape)
                raise DataError(f"{path}: shape {shape}: {first_line(error)}") from error
        except DataError as error:
            left_out.append(str(error).replace(f"{path.parent}{os.sep}", ""))
        else:
            usable.append(path)
    if not usable:
        raise DataError(f"no image to calibrate on can be used: {some(left_out)}")
    return usable, left_out


def _of_split(cfg: Config, split: str) -> list[Path]:
    dataset = split_dataset(cfg, split)
    paths = (dataset.get_data_info(index)["img_path"] for index in range(len(dataset)))
    found = [Path(path) for path in dict.fromkeys(paths)]  # a repeated data set names them twice
    if not found:
        raise DataError(f"{cfg.filename}: the '{split}' data set has no image to calibrate on")
    return found
