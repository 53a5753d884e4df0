import copy

import pytest
import torch
from torch import nn

from lbwdet.errors import LBWError
from lbwdet.layers import quantize_
from lbwdet.posttraining import PostTraining, Refinement, post_train
from lbwdet.posttraining.refine import LevelWeight

LEVELS = torch.tensor([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0])


def test_a_weight_moves_from_level_to_level():
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -0.5, 0.0]]))
        weight = LevelWeight(layer, LEVELS, torch.tensor(2.0))
        assert weight.number.tolist() == [[6, 2, 3]]
        weight.write()
        assert layer.weight.tolist() == [[2.0, -0.5, 0.0]]
        weight.number += torch.tensor([[0.7, 0.4, -0.6]])
        weight.write()
        assert layer.weight.tolist() == [[2.0, -0.5, -0.5]]
    slopes_times_top = [[1.0, 0.5, 0.5]]
    assert weight.gradient(torch.ones(1, 3)).tolist() == slopes_times_top


def test_a_weight_starts_where_it_was_rounded_from():
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -0.5, 0.0]]))
        real = torch.tensor([[2.1, -0.4, 0.9]])
        weight = LevelWeight(layer, LEVELS, torch.tensor(2.0), real)
        assert torch.allclose(weight.number, torch.tensor([[6.1, 2.2, 3.49]]))
        weight.write()
        assert layer.weight.tolist() == [[2.0, -0.5, 0.0]]


def refined(net, images, steps, threads=1):
    low = quantize_(copy.deepcopy(net), dict(bit_width=3, code="dense"))
    torch.set_num_threads(threads)
    settings = PostTraining(refinement=Refinement(steps=steps, level_rate=0.03) if steps else None)
    post_train(low, images, settings=settings)
    torch.set_num_threads(1)
    return low


def test_the_loss_falls_and_weights_stay_levels(net, images):
    losses = []
    low = quantize_(copy.deepcopy(net), dict(bit_width=2))
    settings = PostTraining(refinement=Refinement(steps=60, batch=6, rate=1e-2))
    result = post_train(low, images, settings=settings, on_step=lambda s, loss: losses.append(loss))
    assert len(losses) == 60 and sum(losses[-5:]) < 0.995 * sum(losses[:5])
    for name in ("stem", "depthwise", "shared"):
        layer = low.get_submodule(name)
        assert torch.equal(layer.fake_quantized_weight().detach(), layer.weight.detach())
    assert all(p.requires_grad and p.grad is None for p in low.parameters())
    assert {layer.name for layer in result.layers} == {"stem", "depthwise", "up", "shared", "last"}


def test_same_for_any_number_of_threads(net, images):
    one, two = (refined(net, images, 5, threads) for threads in (1, 2))
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_pass_without_gradient_is_refused(net, images):
    low = quantize_(net, dict(bit_width=3, code="dense"))
    settings = PostTraining(refinement=Refinement(steps=2))
    with pytest.raises(LBWError, match="computes without gradient"):
        post_train(low, images, torch.no_grad()(lambda model, x: model(x)), settings)
