from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from lbwdet.errors import ConfigError
from lbwdet.layers import quantize_
from lbwdet.quantizers.gaps import weight_gaps
from lbwdet.training import LevelStepHook

RATE = 0.125


def one_step(net, gradient, hook=None):
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    hook = hook or LevelStepHook()
    hook.before_train(SimpleNamespace(model=net, optim_wrapper=OptimWrapper(optimizer)))
    for parameter in net.parameters():
        parameter.grad = gradient(parameter)
    optimizer.step()
    hook.after_train(SimpleNamespace())
    return optimizer


def low_bit(scale=1.0):
    torch.manual_seed(0)
    net = quantize_(nn.Sequential(nn.Conv2d(4, 8, 3)), dict(bit_width=4, code="dense"))
    net[0].weight.data.mul_(scale)
    return net


@pytest.mark.parametrize("scale", [1.0, 2.0**-9, 64.0])
def test_a_step_is_a_share_of_the_gap_whatever_the_scale(scale):
    net = low_bit(scale)
    before, gap = net[0].weight.detach().clone(), weight_gaps(net[0].quantized_weight())
    one_step(net, lambda parameter: torch.full_like(parameter, 7.0))
    moved = (before - net[0].weight).detach() / gap
    # A gradient of ones is one of gaps in levels; at a root mean square of 1.
    assert torch.allclose(moved, RATE * gap / gap.square().mean().sqrt(), rtol=1e-3)


def test_other_parameters_move_by_their_own_size():
    norm = nn.BatchNorm2d(4)
    norm.weight.data.fill_(10.0)
    norm.bias.data.fill_(0.0)  # has no size: counts in ones
    one_step(norm, lambda parameter: torch.full_like(parameter, 1e-6), LevelStepHook(reals=2.0))
    assert torch.allclose(norm.weight, torch.full((4,), 10 * (1 - 2 * RATE)))
    assert torch.allclose(norm.bias, torch.full((4,), -2 * RATE))


def test_levels_stay_where_they_shall():
    net = low_bit()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    one_step(net, torch.ones_like, LevelStepHook(levels=0))
    assert torch.equal(net[0].weight, before["0.weight"]) and not net[0].weight.requires_grad
    assert not torch.equal(net[0].bias, before["0.bias"])


def test_levels_stay_in_a_wrapped_model_that_waits_for_all_gradients():
    net = low_bit()
    before, bias = net[0].weight.detach().clone(), net[0].bias.detach().clone()
    one_step(nn.DataParallel(net), torch.ones_like, LevelStepHook(levels=0))
    assert net[0].weight.requires_grad and torch.equal(net[0].weight, before)
    assert not torch.equal(net[0].bias, bias)


def test_a_gradient_of_zeros_and_one_that_is_missing_move_nothing():
    net = low_bit()
    before = net[0].weight.detach().clone()
    one_step(net, lambda parameter: torch.zeros_like(parameter) if parameter.dim() > 1 else None)
    assert torch.equal(net[0].weight, before)


def test_after_training_the_optimizer_is_as_it_was():
    net = low_bit()
    optimizer = one_step(net, torch.ones_like)
    before = net[0].bias.detach().clone()
    net[0].bias.grad = torch.full_like(before, 3.0)
    optimizer.step()
    assert torch.allclose(net[0].bias, before - 3 * RATE)


def test_paces_and_optimizers_that_make_no_sense():
    with pytest.raises(ConfigError, match="reals=-1"):
        LevelStepHook(reals=-1)
    with pytest.raises(ConfigError, match="several optimizers"):
        LevelStepHook().before_train(SimpleNamespace(model=low_bit(), optim_wrapper={}))
