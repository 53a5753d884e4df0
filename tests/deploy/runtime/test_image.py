import numpy as np
import pytest

from lbwdet.deploy.runtime.image import check_image
from lbwdet.deploy.testing import random_image
from lbwdet.errors import DataError
from lbwdet.limits import MAX_PIXELS

IMAGE = random_image(0, 60, 80)


def test_an_image_that_is_one_already():
    assert check_image(IMAGE) is IMAGE


@pytest.mark.parametrize("view", [IMAGE[::-1], IMAGE[:, ::2], IMAGE.transpose(1, 0, 2), IMAGE[1:2]])
def test_views_become_dense(view):
    found = check_image(view)
    assert found.flags.c_contiguous and np.array_equal(found, view)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (IMAGE[..., 0], r"has the shape \[60, 80\]; \[H, W, 3\] is needed: repeat a grey"),
        (np.zeros((60, 80, 4), np.uint8), r"has the shape \[60, 80, 4\].*drop an alpha"),
        (IMAGE[None], r"has the shape \[1, 60, 80, 3\].*one by one"),
        (IMAGE / 255, "is float64; uint8 with values 0 to 255"),
        (IMAGE.astype(np.int8), "is int8; uint8"),
        (np.zeros((0, 80, 3), np.uint8), r"has 0 pixels, \[0, 80, 3\]; 1 to"),
        (np.lib.stride_tricks.as_strided(IMAGE, (1 << 15, 1 << 15, 3), (0, 0, 1)), "pixels"),
        ("image.jpg", r"not str; read files with cv2\.imread"),
        (IMAGE.tolist(), "not list"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_image(image, message):
    with pytest.raises(DataError, match=message):
        check_image(image)


def test_the_largest_image(monkeypatch):
    largest = np.lib.stride_tricks.as_strided(IMAGE, (MAX_PIXELS >> 14, 1 << 14, 3), (0, 0, 1))
    monkeypatch.setattr(np, "ascontiguousarray", lambda image: image)  # 1.5 GB
    assert check_image(largest) is largest
