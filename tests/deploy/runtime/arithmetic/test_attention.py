import numpy as np

from lbwdet.deploy.runtime.arithmetic import attention
from lbwdet.deploy.runtime.arithmetic.attention import Tokens, attend


def tokens():
    random = np.random.default_rng(0)
    return Tokens(
        *(random.integers(-9, 10, (2, count, 3, 4)).astype(np.float32) for count in (11, 5, 5))
    )


def test_the_stated_order_differs_from_another_in_last_bits_alone():
    exact, quick = (attend(tokens(), np.float32(0.1), exact=each) for each in (True, False))
    np.testing.assert_allclose(exact, quick, rtol=1e-5, atol=1e-5)


def test_a_part_of_the_queries_at_a_time_changes_nothing(monkeypatch):
    bias = np.random.default_rng(1).normal(size=(3, 11, 5)).astype(np.float32)
    whole = attend(tokens(), np.float32(0.1), bias, bias[:2])
    monkeypatch.setattr(attention, "AT_ONCE", 40)  # two queries
    assert (attend(tokens(), np.float32(0.1), bias, bias[:2]) == whole).all()


def test_a_key_of_another_region_counts_for_nothing():
    q, k, v = tokens()
    regions = np.zeros((1, 11, 5), np.float32)
    regions[..., 4] = -100
    found = attend(Tokens(q, k, v), np.float32(0.01), None, regions)
    alone = attend(Tokens(q, k[:, :4], v[:, :4]), np.float32(0.01))
    np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-6)
