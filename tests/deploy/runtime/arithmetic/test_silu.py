import numpy as np
import torch

from lbwdet.deploy.runtime.arithmetic.silu import silu


def test_within_five_units_of_the_last_place():
    t = np.float32(np.linspace(-80, 120, 400_001))
    exact = torch.nn.functional.silu(torch.from_numpy(t).double()).numpy()
    found = silu(t)
    assert found.dtype == np.float32
    assert (np.abs(found - exact) <= 5 * np.spacing(np.abs(exact).astype(np.float32))).all()


def test_far_out():
    t = np.float32([-(2.0**79), -200, 200, 2.0**79])
    found = silu(t)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[2:], t[2:])
    assert (np.abs(found[:2]) < 1e-12).all()
