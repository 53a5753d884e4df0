import numpy as np
import torch

from lbwdet.deploy.runtime.arithmetic.silu import silu


def test_close_to_the_exact_one():
    t = np.float32(np.linspace(-120, 120, 480_001))
    exact = torch.nn.functional.silu(torch.from_numpy(t).double()).numpy()
    found = silu(t)
    assert found.dtype == np.float32
    error = np.abs(found - exact)
    assert (error <= 8e-5 * np.abs(exact))[t > -87].all()
    assert error.max() < -exact.min() / 255 / 50


def test_far_out():
    t = np.float32([-(2.0**79), -200, 200, 2.0**79])
    found = silu(t)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[2:], t[2:])
    assert (np.abs(found[:2]) < 1e-12).all()
