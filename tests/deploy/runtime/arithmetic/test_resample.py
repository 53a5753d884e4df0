import numpy as np
import pytest
from PIL import Image

from lbwdet.deploy.runtime.arithmetic.resample import resample

SIZES = [(40, 60), (37, 55), (90, 140), (5, 7), (1, 1), (200, 301), (40, 17)]


@pytest.mark.parametrize("size", SIZES)
def test_the_bytes_of_pillow(size):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    wanted = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    assert np.array_equal(resample(image, *size), np.asarray(wanted))
