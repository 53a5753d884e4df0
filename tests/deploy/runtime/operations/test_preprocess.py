from dataclasses import replace

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import compute_alone
from lbwdet.deploy.runtime.arithmetic.resize import resize
from lbwdet.deploy.runtime.context import Run
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.shapes import Shapes, Side
from lbwdet.deploy.testing import random_image

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def operation(size=(128, 96), keep_ratio=True, divisor=32, to_rgb=True):
    return Preprocess("image", size, keep_ratio, MEAN, STD, to_rgb, divisor)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((480, 640), (1333, 800), (800, 1067)),
        ((375, 500), (1000, 600), (600, 800)),
        ((100, 1000), (800, 1333), (133, 1333)),  # order of the size does not matter
        ((1, 20000), (1000, 600), (1, 1000)),  # never no pixel
        ((1, 1), (1000, 600), (600, 600)),
    ],
)
def test_size_with_its_ratio_kept(shape, size, expected):
    assert operation(size).resized(*shape) == expected


def test_size_without():
    assert operation((128, 96), keep_ratio=False).resized(5, 1000) == (96, 128)


@pytest.mark.parametrize("to_rgb", [True, False])
def test_normalized_quantized_padded(to_rgb):
    image = random_image(1, 40, 50)
    quantization = Quantization(float(np.float32(0.019)), 115)
    example = Example(operation((50, 40), to_rgb=to_rgb), {}, {"image": quantization}, image=image)
    found = compute_alone(example)
    assert found.dtype == np.uint8
    assert found.shape == (1, 64, 64, 3)
    pixels = image[:, :, ::-1] if to_rgb else image
    real = (pixels - np.array(MEAN)) / np.array(STD)
    expected = np.clip(np.rint(real / quantization.scale) + 115, 0, 255)
    assert np.array_equal(found[0, :40, :50], expected)
    assert (found[0, 40:] == 115).all() and (found[0, :, 50:] == 115).all()


@pytest.mark.parametrize("to_rgb", [True, False])
def test_pixels_are_added_to_a_square_and_a_size_then_numbers(to_rgb):
    image = random_image(1, 40, 50)
    quantization = Quantization(0.03125, 115)
    padded = replace(
        operation((50, 40), to_rgb=to_rgb),
        pad_to_square=True,
        pad_size=(61, 30),
        pad_pixel=(1, 114, 255),
        pad_value=0.5,
    )
    run = Run({"image": quantization}, {}, image)
    found = padded.compute(run)[0]
    assert run.resized == (40, 50) and run.bounds == (50, 61) and found.shape == (64, 64, 3)
    framed = np.empty((50, 61, 3), np.uint8)
    framed[:] = (1, 114, 255)
    framed[:40, :50] = image
    alone = Run({"image": quantization}, {}, framed)
    same = replace(operation((61, 50), keep_ratio=False, to_rgb=to_rgb), pad_value=0.5)
    assert np.array_equal(found, same.compute(alone)[0])
    assert (found[50:] == 115 + 16).all() and (found[:, 61:] == 115 + 16).all()


def test_in_reals_before_it_is_calibrated():
    image = random_image(1, 40, 50)
    found = compute_alone(Example(operation((50, 40)), {}, image=image))
    real = ((image[:, :, ::-1] - np.array(MEAN)) / np.array(STD)).astype(np.float32)
    assert found.dtype == np.float32 and np.array_equal(found[0, :40, :50], real)
    assert (found[0, 40:] == 0).all() and (found[0, :, 50:] == 0).all()


def test_the_image_is_resized_before():
    """And what comes later knows the size without the padding."""
    image, quantizations = random_image(1, 40, 50), {"image": Quantization(0.019, 115)}
    run = Run(quantizations, {}, image)
    found = operation((100, 80)).compute(run)
    assert found.shape == (1, 96, 128, 3) and run.resized == (80, 100)
    twice = compute_alone(
        Example(operation((100, 80)), {}, quantizations, image=resize(image, 80, 100))
    )
    assert np.array_equal(found, twice)


def test_the_range_of_what_a_pixel_can_become():
    low, high = operation().input_range
    assert low == -MEAN[0] / STD[0] and high == max(
        (255 - mean) / std for mean, std in zip(MEAN, STD, strict=True)
    )
    assert replace(operation(), pad_value=9.0).input_range == (low, 9.0)


def test_the_table_of_a_pixel():
    table = operation().table(Quantization(0.0625, 100, 200))
    for channel in range(3):
        for pixel in (0, 1, 100, 254, 255):
            real = (pixel - MEAN[channel]) / STD[channel] / 0.0625
            assert table[channel, pixel] == min(max(round(real) + 100, 0), 200)


@pytest.mark.parametrize(
    ("size", "keep_ratio", "pads", "expected"),
    [
        ((128, 96), True, {}, (Side(32), Side(32))),
        ((128, 96), True, dict(pad_divisor=64), (Side(64), Side(64))),
        ((128, 96), True, dict(pad_divisor=48), (Side(32), Side(32))),
        ((128, 96), True, dict(pad_size=(100, 130)), (Side(0, 160), Side(32))),
        ((128, 128), True, dict(pad_size=(128, 130)), (Side(0, 160), Side(0, 128))),
        ((128, 128), True, dict(pad_size=(128, 128), pad_to_square=True), (Side(32), Side(32))),
        ((128, 100), False, {}, (Side(0, 128), Side(0, 128))),
        ((128, 96), True, dict(least_multiple=3), (Side(32, 64), Side(32, 64))),
        ((30, 20), False, dict(least_multiple=3), (Side(0, 96), Side(0, 96))),
        ((128, 100), False, dict(pad_divisor=96), (Side(0, 192), Side(0, 192))),
    ],
)
def test_sides_that_are_the_same_for_every_image(size, keep_ratio, pads, expected):
    changed = replace(operation(size, keep_ratio), **pads)
    found = changed.infer(Shapes({}, {}))
    assert found.size == expected
    for shape in ((40, 50), (50, 40), (7, 1000), (128, 128)):
        image = random_image(0, *shape)
        for side, form in zip(
            changed.compute(Run({}, {}, image)).shape[1:3], expected, strict=True
        ):
            assert side >= form.smallest
            assert side % form.factor == 0 if form.factor else side == form.offset


def test_the_only_size_that_the_network_meets():
    assert operation((300, 200), keep_ratio=False, divisor=1).only_size == (200, 300)
    assert operation((300, 200), keep_ratio=False, divisor=32).only_size == (224, 320)
    assert operation((300, 200)).only_size is None
