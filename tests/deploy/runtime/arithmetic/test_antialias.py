import numpy as np
import pytest
from PIL import Image

from lbwdet.deploy.runtime.arithmetic.antialias import antialiased
from lbwdet.deploy.testing import random_image


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((100, 150), (60, 90)),
        ((37, 53), (128, 200)),
        ((80, 60), (40, 60)),
        ((5, 300), (9, 31)),
        ((1, 1), (7, 9)),
        ((211, 317), (1, 2)),
        ((40, 30), (40, 30)),
    ],
)
def test_resized_pixels_are_those_of_pillow(source, target):
    image = random_image(3, *source)
    expected = Image.fromarray(image).resize(target[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(antialiased(image, *target), np.asarray(expected))
