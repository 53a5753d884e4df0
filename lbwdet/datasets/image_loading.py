"""How a config's pipeline turns an image file into an array: the same wherever it is read."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS

from lbwdet.errors import ConfigError, DataError, LBWError
from lbwdet.images import read_header

# mmcv's decoders that leave images as they are stored, whatever their orientation.
_NEVER_TURN = ("turbojpeg", "tifffile")
_DEPLOYED = dict(color_type="color", to_float32=False, imdecode_backend="cv2")


class ImageLoader:
    """The step of a pipeline that reads images: mmcv's ``LoadImageFromFile``, usually.

    Args:
        step: built, called with ``dict(img_path=...)``.
    """

    def __init__(self, step: Any) -> None:
        self.step = step

    @classmethod
    def of(cls, pipeline: Sequence[Mapping[str, Any]]) -> "ImageLoader":
        """That of a pipeline as it stands in a config.

        Raises:
            ConfigError: it has no step.
        """
        if not pipeline:
            raise ConfigError("the pipeline is empty; it has to begin with LoadImageFromFile")
        return cls(TRANSFORMS.build(dict(pipeline[0])))

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the array: colours, orientation, decoder, type of numbers."""
        kind = type(self.step)
        if not isinstance(self.step, LoadImageFromFile):
            return dict(type=kind.__name__)
        known = {name: getattr(self.step, name) for name in _DEPLOYED}
        if known["imdecode_backend"] is None:
            known["imdecode_backend"] = mmcv.image.io.imread_backend
        return known if kind is LoadImageFromFile else dict(type=kind.__name__, **known)

    @property
    def upright(self) -> bool:
        """Whether images are turned as their EXIF orientation says."""
        settings = self.settings
        color = settings.get("color_type", "color")
        ignored = color == "unchanged" or color.endswith("ignore_orientation")
        return not ignored and settings.get("imdecode_backend") not in _NEVER_TURN

    def size(self, path: str | os.PathLike[str]) -> tuple[int, int]:
        """Width and height of the array to come, from the header.

        Raises:
            DataError: as :func:`lbwdet.images.read_header`.
        """
        return read_header(path).size(self.upright)

    def __call__(self, path: str | os.PathLike[str]) -> np.ndarray:
        """The image as the pipeline's next step gets it: [H, W, 3] uint8 BGR, in general.

        Raises:
            DataError: as :func:`lbwdet.images.read_header`, or it cannot be decoded.
        """
        read_header(path)
        try:
            image = self.step(dict(img_path=os.fspath(path)))["img"]
        except LBWError:
            raise
        except Exception as error:  # decoders raise whatever they like
            raise DataError(f"{Path(path)}: cannot be decoded: {error}") from error
        if not isinstance(image, np.ndarray):
            raise DataError(f"{Path(path)}: cannot be decoded")
        return image

    def check_deployable(self) -> None:
        """Raises ConfigError where a runtime without PyTorch would read images otherwise."""
        settings = self.settings
        asked = {key: value for key, value in settings.items() if _DEPLOYED.get(key) != value}
        if asked.get("imdecode_backend") == "pillow":
            del asked["imdecode_backend"]
        if asked:
            text = ", ".join(f"{key}={value!r}" for key, value in asked.items())
            raise ConfigError(
                f"test pipeline: images loaded with {text} cannot be had from an artifact; it "
                "takes uint8 [H, W, 3] images, blue first, upright: LoadImageFromFile with "
                "color_type='color', to_float32=False and imdecode_backend 'cv2' or 'pillow'"
            )
