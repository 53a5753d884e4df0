"""Says which image it was, where a data set of MMDetection's own fails on one."""

import functools
import logging
from collections.abc import Sequence
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.errors import DataError, LBWError
from lbwdet.images import read_header
from lbwdet.terminal import printable


def name_odd_images() -> None:
    """Has every data set leave out, in training, the images that fail, and name them.

    A test loop needs all of its images: there it is a ``DataError``. Failures on images
    that look sound are passed on as they are.
    """
    prepare = BaseDataset.prepare_data
    if hasattr(prepare, "__wrapped__"):
        return

    @functools.wraps(prepare)
    def prepare_data(self: BaseDataset, idx: int) -> Any:
        if hasattr(self, "bad_images"):  # a data set with a rule of its own
            return prepare(self, idx)
        try:
            return prepare(self, idx)
        except LBWError:
            raise
        except Exception as error:  # decoders and transforms raise whatever they like
            path = self.get_data_info(idx).get("img_path")
            reason = _what_is_odd(path, self.pipeline.transforms)
            if reason is None:
                raise
            if not self.test_mode:
                message = f"{reason}; another image is taken in its place"
                print_log(printable(message), logger="current", level=logging.WARNING)
                return None
            raise DataError(f"{reason}; take it out of the test set") from error

    BaseDataset.prepare_data = prepare_data


def _what_is_odd(path: Any, steps: Sequence[Any]) -> str | None:
    """Why an image cannot be used; None where nothing can be said against it."""
    try:
        header = read_header(path)
        if header.unusual:
            return f"{path}: the pipeline cannot take {header.width} x {header.height} pixels"
        if steps and isinstance(steps[0], LoadImageFromFile):
            ImageLoader(steps[0])(path)  # a picture without its middle has a sound header
    except DataError as error:
        return str(error)
    except TypeError:  # no local file
        return None
    return None
