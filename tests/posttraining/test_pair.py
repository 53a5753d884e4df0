import copy

import torch

from lbwdet.posttraining.pair import Pair


def pair_of(net, images, waiting_bytes=10**9):
    layers = {name: net.get_submodule(name) for name in ("stem", "depthwise", "shared", "last")}
    low = copy.deepcopy(net)
    with torch.no_grad():
        low.stem.weight.mul_(0.9)
    return Pair(low, net, layers, images, lambda model, x: model(x), waiting_bytes)


def test_calls_come_in_twos(net, images):
    pair = pair_of(net, images)
    with torch.no_grad():
        met = {name: list(pair.each_use(name, calls)) for name, calls in pair.walk()}
    assert list(met) == list(pair.plan.uses)
    assert len(met["stem"]) == 6 and len(met["shared"]) == 12  # used twice in a pass
    for (of_float,), (own,) in met["stem"]:
        assert torch.equal(of_float, own)  # both read the image
    for (of_float,), (own,) in met["depthwise"]:
        assert of_float.shape == own.shape and not torch.equal(of_float, own)


def test_matrices_hold_the_parameters_of_their_network(net, images):
    pair = pair_of(net, images)
    of_float, own = pair.matrices["stem"]
    assert torch.equal(0.9 * of_float.stored, own.stored)
    own.stored.zero_()
    assert not pair.model.stem.weight.any() and net.stem.weight.any()


def test_inputs_that_would_wait_in_too_much_memory_are_left_out(net, images):
    live = pair_of(net, images).plan.live_bytes
    few = pair_of(net, images, 2 * 3 * live)
    assert [x is y for x, y in zip(few.inputs, images[::2], strict=True)] == [True] * 3
