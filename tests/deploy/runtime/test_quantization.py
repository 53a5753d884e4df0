import numpy as np
import pytest

from lbwdet.deploy.runtime.quantization import Quantization, rounded


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_and_clamping(dtype):
    t = np.array([-1e30, -3, 0.5, 1.5, 2.5, 2.6, 300, 1e30], dtype)
    assert rounded(t, Quantization(1.0)).tolist() == [0, 0, 0, 2, 2, 3, 255, 255]
    up = Quantization(1.0, maximum=15, rounding="ceil")
    assert rounded(t, up).tolist() == [0, 0, 1, 2, 3, 3, 15, 15]
    around = Quantization(1.0, zero_point=10)
    assert rounded(t, around).tolist() == [0, 7, 10, 12, 12, 13, 255, 255]
    assert rounded(t, around, low=10).tolist() == [10, 10, 10, 12, 12, 13, 255, 255]
    assert rounded(t, around).dtype == np.uint8
