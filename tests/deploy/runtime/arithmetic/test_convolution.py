import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.deploy.runtime.arithmetic.convolution import convolve, upsample

ONE, NONE = (1, 1), (0, 0)


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_sums_are_those_of_torch(seed, kernel, stride, padding, dilation):
    random = np.random.default_rng(seed)
    factors = random.integers(-64, 65, (3, 5, *kernel)).astype(np.int8)
    x = random.integers(-255, 256, (2, 11, 10, 5)).astype(np.float32)
    found = convolve(factors, x, stride, padding, dilation)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x.astype(np.int64)).permute(0, 3, 1, 2),
        torch.from_numpy(factors.astype(np.int64)),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    assert np.array_equal(found, expected.permute(0, 2, 3, 1).numpy())


def test_size():
    factors, x = np.ones((4, 1, 3, 2), np.int8), np.ones((1, 10, 9, 1), np.float32)
    assert convolve(factors, x, (2, 1), (1, 0), (2, 3)).shape == (1, 4, 6, 4)


def test_sums_too_large_for_float32_are_exact():
    x = np.full((1, 1, 1, 3000), 255, np.float32)
    x[..., 0] = 254
    factors = np.full((1, 3000, 1, 1), 64, np.int8)
    assert convolve(factors, x, ONE, NONE, ONE) == 64 * (255 * 3000 - 1)
    factors[0, 0] = 1
    odd = 64 * 255 * 2999 + 254 + 1  # has no float32
    x[..., 0] = 255
    assert convolve(factors, x, ONE, NONE, ONE) == odd


def test_reals():
    random = np.random.default_rng(0)
    factors = random.normal(0, 1, (6, 4, 3, 3)).astype(np.float32)
    x = random.normal(0, 1, (2, 7, 8, 4)).astype(np.float32)
    found = convolve(factors, x, (2, 1), ONE, ONE)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(factors), stride=(2, 1), padding=1
    )
    assert found.dtype == np.float32
    assert np.allclose(found, expected.permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_no_boxes_no_output():
    x = np.zeros((0, 7, 7, 3), np.float32)
    assert convolve(np.ones((2, 3, 7, 7), np.int8), x, ONE, NONE, ONE).shape == (0, 1, 1, 2)


@pytest.mark.parametrize("size", [(10, 6), (7, 3), (2, 2), (5, 3)])
def test_upsampling_reads_the_pixel_that_torch_reads(size):
    value = np.arange(5 * 3, dtype=np.uint8).reshape(1, 5, 3, 1)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(value).permute(0, 3, 1, 2).float(), size=size, mode="nearest"
    )
    assert np.array_equal(upsample(value, *size)[0, :, :, 0], expected[0, 0].numpy())
