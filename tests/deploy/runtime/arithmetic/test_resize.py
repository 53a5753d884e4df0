import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.deploy.runtime.arithmetic.resize import resize
from lbwdet.deploy.testing import random_image


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((100, 150), (60, 90)),
        ((37, 53), (128, 200)),
        ((60, 80), (120, 160)),
        ((80, 60), (40, 30)),
        ((5, 300), (9, 31)),
        ((1, 1), (7, 9)),
        ((480, 640), (800, 1067)),
    ],
)
def test_resized_pixels_are_those_of_opencv(source, target):
    image = random_image(3, *source)
    expected = cv2.resize(image, target[::-1], interpolation=cv2.INTER_LINEAR)
    difference = np.abs(resize(image, *target).astype(int) - expected)
    # Seen: none at all. OpenCV's code for another processor may round otherwise.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 40), st.integers(1, 40))
def test_resizing_pixel_by_pixel(height, width, new_height, new_width):
    image = random_image(height * width, height, width)
    found = resize(image, new_height, new_width)
    random = np.random.default_rng(0)
    for y, x in random.integers(0, (new_height, new_width), (5, 2)):
        rows, columns = taps(height, new_height, y), taps(width, new_width, x)
        for channel in range(3):
            total = 2
            for row, share in rows:
                line = sum(int(image[row, column, channel]) * a for column, a in columns)
                total += (line >> 4) * share >> 16
            assert found[y, x, channel] == total >> 2


def taps(source, target, index):
    position = float(np.float32((index + 0.5) * (source / target) - 0.5))
    first = int(np.floor(position))
    weight = int(np.rint((position - first) * 2048))
    neighbours = [(first, 2048 - weight), (first + 1, weight)]
    return [(min(max(place, 0), source - 1), share) for place, share in neighbours]


def test_an_image_of_the_right_size_stays():
    image = random_image(0, 96, 128)
    assert resize(image, 96, 128) is image
