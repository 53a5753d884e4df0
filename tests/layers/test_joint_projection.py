import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lbwdet.layers import calibration, project_together, quantize_, quantized_layers
from lbwdet.layers import joint_projection as joint
from lbwdet.quantizers import NonFiniteWeightError, recorded

SETTINGS = dict(bit_width=6, code="two-term", granularity="channel")


class Net(nn.Module):
    """A shared layer, a frozen one, one that is not used, attention, and a transposed one."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.unused = nn.Linear(8, 8)
        self.up = nn.ConvTranspose2d(8, 6, 2)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = self.stem(x)
        x = self.depthwise(self.shared(F.relu(self.shared(x))))
        tokens = self.up(x).flatten(2).transpose(1, 2)
        return self.head(self.attention(tokens, tokens, tokens)[0])


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    net = quantize_(Net(), SETTINGS, overrides={"head": dict(bit_width=4), "up": dict(bit_width=5)})
    net.stem.weight.requires_grad_(False)
    return net.train()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(2, 3, 6, 6)


def steps(net, x, together, gradients_together=True, number=3, each=lambda net, x: net(x), lr=0.05):
    """The losses and gradients of some steps of training."""
    net = copy.deepcopy(net)
    layers = quantized_layers(net).values()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    seen = []
    for _ in range(number):
        if together:
            project_together(layers, gradients_together)
        loss = each(net, x).square().sum()
        loss.backward()
        seen += [loss.detach(), *(p.grad.clone() for p in net.parameters() if p.grad is not None)]
        optimizer.step()
        optimizer.zero_grad()
    assert net.unused.weight.grad is None
    return seen


def equal(ones, others):
    assert len(ones) == len(others)
    return all(one.equal(other) for one, other in zip(ones, others, strict=True))


@pytest.mark.parametrize("gradients_together", [True, False])
@pytest.mark.parametrize("size", [1, 3, 16])
def test_losses_and_gradients_are_those_of_layers_by_themselves(
    net, x, gradients_together, size, monkeypatch
):
    monkeypatch.setattr(joint, "GRADIENTS_TOGETHER", size)
    assert equal(steps(net, x, True, gradients_together), steps(net, x, False))


def test_channels_last(net, x):
    net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    assert equal(steps(net, x, True), steps(net, x, False))
    project_together(quantized_layers(net).values())
    used = net.shared.fake_quantized_weight()
    assert used.is_contiguous(memory_format=torch.channels_last)


def test_mixed_precision(net, x):
    def each(net, x):
        with torch.autocast("cpu", torch.bfloat16):
            return net(x)

    assert equal(steps(net, x, True, each=each), steps(net, x, False, each=each))


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoints_of_activations(net, x, use_reentrant):
    def each(net, x):
        return checkpoint(net, x.requires_grad_(), use_reentrant=use_reentrant)

    assert equal(steps(net, x, True, each=each), steps(net, x, False, each=each))


def test_relaxed_weights(net, x):
    for layer in quantized_layers(net).values():
        layer.relax = 3.0
    assert equal(steps(net, x, True), steps(net, x, False))


def test_gradients_are_accumulated(net, x):
    layers = quantized_layers(net).values()
    project_together(layers)
    loss = net(x).sum()
    loss.backward(retain_graph=True)
    once = net.shared.weight.grad.clone()
    loss.backward()
    project_together(layers)
    net(x).sum().backward()
    torch.testing.assert_close(net.shared.weight.grad, 3 * once)


def test_quantized_weights_have_a_gradient_only_in_training(net):
    layer = net.shared
    project_together([layer])
    assert layer.fake_quantized_weight().requires_grad
    with torch.no_grad():
        assert not layer.fake_quantized_weight().requires_grad
    layer.weight.requires_grad_(False)
    assert not layer.fake_quantized_weight().requires_grad
    layer.weight.requires_grad_(True)
    layer.forget_projection()
    with torch.no_grad():
        project_together([layer])
    assert layer.fake_quantized_weight().requires_grad


def test_nothing_is_left_after_backward(net, x):
    project_together(quantized_layers(net).values())
    net(x).sum().backward()
    left = {name for name, layer in quantized_layers(net).items() if layer._cache is not None}
    assert left == {"stem", "unused"}


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_a_diverged_weight_is_named(net, value):
    with torch.no_grad():
        net.shared.weight[0, 0, 0, 0] = value
    with pytest.raises(NonFiniteWeightError, match=r"^shared: 1 of 576 weights"):
        project_together(quantized_layers(net).values())


def test_steps_of_channels_that_a_calibration_finds_in_between():
    net = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    quantize_(net, SETTINGS, dict(bit_width=8, granularity="channel"))
    layers = list(quantized_layers(net).values())
    project = joint.JointProjection(layers)
    project()
    with calibration(net):
        net(torch.randn(2, 8, 9, 9) * torch.logspace(-3, 3, 8)[:, None, None])
    project()
    found = [layer.fake_quantized_weight().detach() for layer in layers]
    for layer in layers:
        layer.forget_projection()
    assert equal(found, [layer.fake_quantized_weight().detach() for layer in layers])


def test_recorded_steps(net, x, records):
    losses = [each for each in steps(net, x, False, number=5, lr=1e-3) if each.dim() == 0]
    project = joint.JointProjection(quantized_layers(net).values(), cuda_graph=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    for right in losses:
        project()
        loss = net(x).square().sum()
        loss.backward()
        assert loss.equal(right)
        optimizer.step()
        optimizer.zero_grad()
    assert all(each.recorded is not None for each in project._classes)


def test_weights_that_change_after_the_start(net, records):
    layers = list(quantized_layers(net).values())
    project = joint.JointProjection(layers, cuda_graph=True)
    for change in (False, False, False, True):
        for layer in layers:
            layer.forget_projection()
        project.start()
        if change:
            with torch.no_grad():
                layers[0].weight.mul_(3)
        project()
        found = [layer.fake_quantized_weight().detach().clone() for layer in layers]
        for layer in layers:
            layer.forget_projection()
        assert equal(found, [layer.fake_quantized_weight().detach() for layer in layers])
    assert all(each.recorded is not None for each in project._classes if each.trained)


def test_a_layer_that_must_project_anew_after_the_start(net, records):
    layers = list(quantized_layers(net).values())
    project = joint.JointProjection(layers, cuda_graph=True)
    for _ in range(3):
        for layer in layers:
            layer.forget_projection()
        project()
    for layer in layers:
        layer.forget_projection()
    project.start()
    net.eval()
    for layer in layers:
        layer.weight.data.mul_(3)  # which its version does not tell
    net.train()
    project()
    found = [layer.fake_quantized_weight().detach().clone() for layer in layers]
    for layer in layers:
        layer.forget_projection()
    assert equal(found, [layer.fake_quantized_weight().detach() for layer in layers])


def test_what_is_recorded_is_used_again_in_the_next_epoch(net, records):
    layers = list(quantized_layers(net).values())
    layers[0].weight.requires_grad_(False)
    project = joint.JointProjection(layers, cuda_graph=True)
    epochs = []
    for _ in range(3):
        net.train()  # forgets frozen weights, too
        project()
        for _ in range(2):
            for layer in layers[1:]:
                layer.forget_projection()
            project()
        epochs.append([each.recorded for each in project._classes])
        assert None not in epochs[-1]
    assert epochs[0] == epochs[1] == epochs[2]
    (frozen,) = (each for each in project._known.values() if not each.trained)
    assert frozen.names == [layers[0]._name()] and frozen.recorded is None
    assert all(each is frozen or not set(frozen.names) & {*each.names} for each in project._classes)


def test_few_kinds_are_kept(net, records, monkeypatch):
    monkeypatch.setattr(joint, "KEPT", 2)
    layers = list(quantized_layers(net).values())
    project = joint.JointProjection(layers, cuda_graph=True)
    for layer in layers:
        layers[0].forget_projection()
        layer.forget_projection()
        project()
        assert len(project._known) <= max(2, len(project._classes))
        assert {id(each) for each in project._classes} <= {
            id(each) for each in project._known.values()
        }


def test_a_start_that_fails_leaves_nothing_behind(net, monkeypatch):
    layers = list(quantized_layers(net).values())
    project = joint.JointProjection(layers)
    project.start()
    layers[0].forget_projection()
    with monkeypatch.context() as context:
        context.setattr(joint.JointProjection, "_find_classes", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            project.start()
    project()
    assert all(layer.remembers(layer.projection_key(layer.weight)) for layer in layers)


def test_former_weights_are_lost_from_the_start_on(net, x, records):
    layers = quantized_layers(net).values()
    project = joint.JointProjection(layers, cuda_graph=True)
    for _ in range(3):
        project()
        loss = net(x).square().sum()
        for layer in layers:
            layer.forget_projection()
    project.start()
    with pytest.raises(RuntimeError, match="modified"):
        loss.backward()


def test_a_recording_that_does_not_suffice_is_made_again(net, records):
    layers = list(quantized_layers(net).values())
    project = joint.JointProjection(layers, cuda_graph=True)
    project()
    for value in (1.0, 1e3, 1e6):
        for layer in layers:
            layer.forget_projection()
            layer.weight.data[0, 0] = value
        project()
        found = [layer.fake_quantized_weight().detach().clone() for layer in layers]
        for layer in layers:
            layer.forget_projection()
        assert equal(found, [layer.fake_quantized_weight().detach() for layer in layers])


def test_a_recorded_weight_that_diverges_is_named(net, x, records):
    layers = quantized_layers(net)
    project = joint.JointProjection(layers.values(), cuda_graph=True)
    for _ in range(3):
        for layer in layers.values():
            layer.forget_projection()
        project()
    layers["shared"].weight.data[0, 0, 0, 0] = torch.nan
    for layer in layers.values():
        layer.forget_projection()
    for _ in range(2):
        with pytest.raises(NonFiniteWeightError, match=r"^shared: 1 of 576 weights"):
            project()


def test_a_recorded_step_after_a_forward_pass_without_gradients(net, x, records):
    gradients = []
    for cuda_graph in (False, True):
        one = copy.deepcopy(net)
        project = joint.JointProjection(quantized_layers(one).values(), cuda_graph=cuda_graph)
        for _ in range(3):
            project()
            one(x).square().sum().backward()
        one.zero_grad()
        with torch.no_grad():
            project()
            one(x)
        project()
        one(x).square().sum().backward()
        gradients.append([p.grad for p in one.parameters() if p.grad is not None])
    assert equal(*gradients)


def test_a_recording_that_repeats_nothing_is_found_out(net, records, monkeypatch):
    layers = list(quantized_layers(net).values())
    before = [layer.weight.clone() for layer in layers]
    assert joint.is_exact(layers, cuda_graph=True)
    monkeypatch.setattr(recorded, "_recorded", lambda compute: (lambda: None, compute()))
    assert not joint.is_exact(layers, cuda_graph=True)
    assert equal(before, [layer.weight for layer in layers])
