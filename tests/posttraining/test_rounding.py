import itertools

import pytest
import torch

from lbwdet.posttraining.rounding import (
    Levels,
    damped,
    descend,
    feed_back,
    output_error,
    upper_factor,
)
from lbwdet.quantizers import build_quantizer

LEVELS = Levels(build_quantizer(3, "dense").magnitudes)


def problem(groups=2, rows=3, columns=4):
    x = torch.randn(groups, columns, columns) @ torch.randn(groups, columns, 60)
    moments = damped((x @ x.mT).double(), 0.01)
    return torch.randn(groups, rows, columns), moments, torch.full((groups, rows), 2.0)


@pytest.mark.parametrize("code, bit_width", [("dense", 4), ("paper", 6), ("two-term", 5)])
def test_nearest_is_that_of_the_quantizer(code, bit_width):
    quantizer = build_quantizer(bit_width, code)
    weight = torch.randn(1, 500)
    scale = quantizer.scale(weight)
    levels = Levels(quantizer.magnitudes)
    assert torch.equal(levels.nearest(weight, scale), quantizer.assign(weight, scale))


def test_upper_factor():
    _, moments, _ = problem(columns=7)
    factor = upper_factor(moments)
    assert torch.equal(factor.triu(), factor)
    assert torch.allclose(factor.mT @ factor, torch.linalg.inv(moments))


def test_moments_of_nothing_can_be_inverted():
    assert torch.equal(damped(torch.zeros(1, 3, 3).double(), 0.01)[0], torch.eye(3).double())


def test_what_is_left_of_constants_can_be_inverted():
    left = torch.full((1, 3, 3), -1e-9).double()
    upper_factor(damped(left, 0.01, torch.ones(1).double()))


def test_each_step_is_nearer_to_the_best():
    weight, moments, top = problem(groups=20)
    plain = moments.float()
    nearest = LEVELS.nearest(weight, top[..., None])
    fed = feed_back(weight, upper_factor(moments).float(), LEVELS, top)
    better = descend(fed.clone(), weight, plain, LEVELS, top, 10)
    errors = [output_error(weight - q, plain) for q in (nearest, fed, better)]
    assert errors[1].mean() < 0.8 * errors[0].mean()
    assert bool((errors[2] <= errors[1] * (1 + 1e-5)).all())
    values = [0.0, *(sign * 2.0 * m for sign in (-1, 1) for m in (0.25, 0.5, 1.0))]
    every = torch.tensor(list(itertools.product(values, repeat=4)))
    for group, row in itertools.product(range(20), range(3)):
        best = output_error(every[None] - weight[group, row], plain[None, group]).min()
        assert best <= errors[2][group, row] * (1 + 1e-5)
    assert errors[2].mean() < 1.3 * errors[1].mean()


def test_blocks_of_columns_do_not_matter(monkeypatch):
    weight, moments, top = problem(columns=50)
    factor, plain = upper_factor(moments).float(), moments.float()
    once = feed_back(weight, factor, LEVELS, top)
    swept = descend(once.clone(), weight, plain, LEVELS, top, 2)
    monkeypatch.setattr("lbwdet.posttraining.rounding._BLOCK", 7)
    assert torch.equal(feed_back(weight, factor, LEVELS, top), once)
    assert torch.equal(descend(once.clone(), weight, plain, LEVELS, top, 2), swept)
