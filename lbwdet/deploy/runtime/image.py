"""What an image must be before an engine sees it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.errors import DataError
from lbwdet.limits import MAX_PIXELS

Array = NDArray[Any]


def check_image(image: Any) -> Array:
    """The image as a contiguous array that every engine takes.

    Raises:
        DataError: it is no uint8 array [H, W, 3] with 1 to 2**29 pixels.
    """
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"an image is a numpy array [H, W, 3], not {type(image).__name__}; "
            "read files with cv2.imread(path)"
        )
    shape = list(image.shape)
    if image.ndim != 3 or shape[2] != 3:
        raise DataError(
            f"the image has the shape {shape}; [H, W, 3] is needed: repeat a grey image's "
            "channel three times, drop an alpha channel, pass the images of a batch one by one"
        )
    if image.dtype != np.uint8:
        raise DataError(f"the image is {image.dtype}; uint8 with values 0 to 255 is needed")
    pixels = shape[0] * shape[1]
    if not 1 <= pixels <= MAX_PIXELS:
        raise DataError(f"the image has {pixels} pixels, {shape}; 1 to {MAX_PIXELS} are allowed")
    return np.ascontiguousarray(image)
