"""Runs and COCO's text, held against pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco

from lbwdet.deploy.runtime.arithmetic.paste import runs_of
from lbwdet.deploy.runtime.masks import Mask


def mask_of(pixels):
    size = pixels.shape
    return Mask(size, runs_of(pixels, (0, 0), size))


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98, 1])
@pytest.mark.parametrize("seed", range(10))
def test_pycocotools_writes_and_reads_the_same(seed, share):
    random = np.random.default_rng(seed)
    pixels = random.random(random.integers(1, 80, 2)) < share
    mask = mask_of(pixels)
    assert (mask.pixels() == pixels).all() and mask.area == pixels.sum()
    encoded = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert mask.coco() == dict(size=list(pixels.shape), counts=encoded["counts"].decode())
    assert (coco.decode(mask.coco()) == pixels).all()


def test_long_runs():
    pixels = np.zeros((3000, 2000), bool)
    pixels[100:2900, 5:1500] = True
    assert (coco.decode(mask_of(pixels).coco()) == pixels).all()


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_of_pixels(share):
    pixels = np.random.default_rng(0).random((7, 5)) < share
    mask = Mask.of(pixels)
    assert mask.size == (7, 5) and mask.runs.dtype == np.uint32
    assert (mask.pixels() == pixels).all()
    assert mask.coco() == mask_of(pixels).coco()
