"""Images of the user's choice: which there are, and reading them."""

from pathlib import Path

import cv2
import numpy as np

from lbwdet.datasets.voc_files import read_image_size
from lbwdet.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def find_images(source: str | Path) -> list[Path]:
    """The image itself, or the images of a folder in order of their names.

    Raises:
        DataError: there is none.
    """
    source = Path(source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(f"{source}: no such image or folder")
    paths = sorted(
        path for path in source.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not paths:
        raise DataError(f"{source}: no image in this folder (looked for {', '.join(SUFFIXES)})")
    return paths


def read_image(path: Path) -> np.ndarray:
    """[H, W, 3] uint8 in BGR order.

    Raises:
        DataError: the file is empty, truncated, no image, or of a kind that OpenCV cannot read.
    """
    read_image_size(path)  # OpenCV would take a truncated JPEG for a whole one
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path}: not an image that OpenCV can read")
    return image
