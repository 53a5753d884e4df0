import threading

import pytest
import torch
from torch import nn

from lbwdet.posttraining.walk import Walk, calls_of


def passes(net, images):
    return [lambda x=x: net(x) for x in images]


def test_passes_wait_where_a_module_is_called_and_see_what_is_changed_there(net, images):
    names = ["stem", "depthwise", "last"]
    with torch.no_grad(), Walk([net], names, passes(net, images)) as walk:
        met = []
        for name in walk:
            assert all(run.at == name for run in walk.runs)
            met.append(name)
            if name == "depthwise":
                net.depthwise.weight.zero_()
                net.depthwise_norm.running_mean.zero_()
                net.depthwise_norm.bias.zero_()
            if name == "last":  # behind the change: the input is that of all zeros
                dark = net.up.bias.reshape(1, -1, 1, 1).expand(2, -1, 32, 32)
                wanted = net.shared(dark).relu().mean((2, 3))
                assert all(torch.allclose(run.arguments[0], wanted) for run in walk.runs)
    assert met == names


def test_an_error_of_a_pass_is_raised_and_no_thread_is_left(net, images):
    before = threading.active_count()
    with (
        pytest.raises(RuntimeError, match="to have 3 channels"),
        Walk([net], ["stem", "last"], passes(net, [images[0], torch.zeros(1, 4, 8, 8)])) as walk,
    ):
        list(walk)
    assert threading.active_count() == before
    net(images[0])  # and no hook


def test_a_walk_that_is_left_early_ends_its_passes(net, images):
    before = threading.active_count()
    with Walk([net], ["stem", "last"], passes(net, images)) as walk:
        assert next(iter(walk)) == "stem"
    assert threading.active_count() == before


def test_passes_that_take_other_ways():
    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.end = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.end(self.a(x) if x[0, 0] > 0 else self.b(x))

    either = Either()
    inputs = [torch.ones(1, 2), -torch.ones(1, 2)]
    with Walk([either], ["a", "b", "end"], passes(either, inputs)) as walk:
        waiting = [(name, sum(run.at == name for run in walk.runs)) for name in walk]
    assert waiting == [("a", 1), ("b", 1), ("end", 2)]


def test_calls_of_a_shared_layer(net, images):
    found = calls_of(net.shared, 2, lambda: net(images[0]))
    assert [args[0].shape[-1] for args in found] == [32, 16]
    assert not net.shared._forward_pre_hooks
