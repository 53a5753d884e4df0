import math

import torch

from lbwdet.quantizers.float_bits import exp2, floor_log2


def test_exp2_is_exact_over_all_normal_exponents():
    exponents = torch.arange(-1022, 1024)
    expected = torch.tensor([math.ldexp(1.0, e) for e in exponents.tolist()], dtype=torch.float64)
    assert torch.equal(exp2(exponents), expected)


def test_exp2_clamps():
    assert exp2(torch.tensor([-5000, 5000])).tolist() == [2.0**-1022, 2.0**1023]


def test_floor_log2_next_to_powers_of_two():
    power = torch.tensor([2.0**e for e in range(-126, 128)])
    exponents = torch.arange(-126, 128)
    assert torch.equal(floor_log2(power), exponents)
    below = torch.nextafter(power, torch.zeros(()))
    assert torch.equal(floor_log2(below), exponents - 1)
