import contextlib

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lbwdet.deploy.lower.trace import float_layers, trace
from lbwdet.errors import ConfigError
from lbwdet.layers import quantize_

SAMPLE = torch.zeros(1, 3, 8, 8)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.norm(self.conv(x))
        self.relu(y)  # y itself is changed
        return y, F.max_pool2d(y, 2)


def test_calls_with_their_arguments_names_and_shapes():
    graph = trace(Net().eval(), lambda net, x: net(x), SAMPLE)
    conv, norm, relu, pool = graph.calls
    assert [call.op for call in graph.calls] == ["conv2d", "batch_norm", "relu", "max_pool2d"]
    assert conv.arguments["weight"] == "conv.weight" and conv.arguments["padding"] == [1, 1]
    assert conv.arguments["groups"] == 1 and conv.module == "conv"
    assert norm.arguments["running_var"] == "norm.running_var" and norm.shape == (1, 4, 8, 8)
    assert list(graph.inputs.values()) == [(1, 3, 8, 8)]
    assert graph.constants["conv.weight"].shape == (4, 3, 3, 3) and graph.made_of == {}
    assert pool.arguments["self"] == relu.output and graph.outputs == (relu.output, pool.output)


def test_layers_are_float_while_traced_and_as_before_afterwards():
    net = quantize_(Net(), weight=dict(bit_width=4)).eval()
    quantizer = net.conv.quantizer
    with float_layers(net):
        assert net.conv.quantizer is None
    graph = trace(net, lambda net, x: net(x), SAMPLE)
    assert graph.calls[0].op == "conv2d" and net.conv.quantizer is quantizer


def test_what_depends_on_values_cannot_be_traced():
    def branch(net, x):
        return net.conv(x) if x.sum() > 0 else x

    with pytest.raises(ConfigError, match="Net cannot be lowered: what it computes depends on the"):
        trace(Net().eval(), branch, SAMPLE)


@pytest.mark.parametrize("refused", [False, True])
def test_modules_share_settings_afterwards_as_before(refused):
    """DDQ's layers tell one another by a dict what they have chosen."""
    net = Net().eval()
    net.conv.shared = net.norm.shared = shared = {}

    def compute(net, x):
        return net(x)[0] if not refused or x.sum() > 0 else x

    with pytest.raises(ConfigError) if refused else contextlib.nullcontext():
        trace(net, compute, SAMPLE)
    assert net.conv.shared is shared and net.norm.shared is shared


class Choosing(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError("no\nsuch thing")


@pytest.mark.parametrize(
    "part, why",
    [(Choosing(), "what it computes depends on the values of the image"), (Broken(), "tracing it")],
)
def test_the_module_that_cannot_be_traced_is_named(part, why):
    net = Net().eval()
    net.deep = nn.Sequential(nn.Identity(), part)
    with pytest.raises(ConfigError, match=f"^deep.1 cannot be lowered: {why}") as caught:
        trace(net, lambda net, x: net.deep(net.conv(x)), SAMPLE)
    assert "\n" not in str(caught.value)


def test_changes_in_place_follow_all_names_of_a_value():
    def compute(net, x):
        y = net.conv(x)
        z = y.relu_()
        y.add_(1)
        return z * 1.5, y

    graph = trace(Net().eval(), compute, SAMPLE)
    assert [call.op for call in graph.calls] == ["conv2d", "relu", "add", "mul"]
    assert graph.calls[-1].arguments["self"] == graph.calls[2].output == graph.outputs[1]


def test_changes_through_views_become_operations():
    def compute(net, x):
        y = net.conv(x)
        y[:, :2].relu_()
        return y

    graph = trace(Net().eval(), compute, SAMPLE)
    assert [call.op for call in graph.calls] == ["conv2d", "slice", "relu", "slice_scatter"]
    assert graph.outputs == (graph.calls[-1].output,)


@pytest.mark.filterwarnings("ignore:.*torch.cuda.amp.autocast:FutureWarning")
def test_what_is_inside_of_autocast_is_there():
    def compute(net, x):
        y = net.conv(x)
        with torch.cuda.amp.autocast(enabled=False):
            z = y.sigmoid()
        return y + z

    graph = trace(Net().eval(), compute, SAMPLE)
    conv, sigmoid, add = graph.calls
    assert (sigmoid.op, sigmoid.arguments["self"]) == ("sigmoid", conv.output)
    assert add.arguments["other"] == sigmoid.output


def test_what_is_computed_from_parameters_alone_is_a_constant():
    def compute(net, x):
        weight = net.conv.weight / net.conv.weight.std()
        return F.conv2d(x, weight) + torch.full((4, 1, 1), 2.0)

    net = Net().eval()
    graph = trace(net, compute, SAMPLE)
    conv, add = graph.calls
    weight = conv.arguments["weight"]
    torch.testing.assert_close(
        graph.constants[weight], net.conv.weight.detach() / net.conv.weight.detach().std()
    )
    assert graph.made_of[weight] == {"conv.weight"}
    assert (graph.constants[add.arguments["other"]] == 2).all()
    assert graph.made_of[add.arguments["other"]] == frozenset()


def test_of_several_results_each_has_its_name():
    graph = trace(Net().eval(), lambda net, x: x.chunk(3, 1)[1:], SAMPLE)
    second, third = graph.calls
    assert [call.op for call in graph.calls] == ["chunk", "chunk"]
    assert [call.arguments["index"] for call in graph.calls] == [1, 2]
    assert second.shape == (1, 1, 8, 8) and graph.outputs == (second.output, third.output)
    pooled = trace(Net().eval(), lambda _, x: F.max_pool2d(x, 2, return_indices=True), SAMPLE)
    assert [call.op for call in pooled.calls] == [
        "max_pool2d_with_indices",
        "result 1 of max_pool2d_with_indices",
    ]


def test_relus_of_the_identity_estimator_are_relus():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)).eval()
    quantize_(net, weight=dict(bit_width=4), activation=dict(ste="identity"))
    graph = trace(net, lambda model, x: model(x), torch.zeros(1, 3, 8, 8))
    assert [call.op for call in graph.calls] == ["conv2d", "relu", "conv2d"]


def test_what_modules_share_they_share_afterwards():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    net[0].settings = net[1].settings = dict(count=1)
    trace(net, lambda n, x: n(x), torch.randn(1, 3, 4, 4))
    net[0].settings["count"] = 2
    assert net[1].settings == dict(count=2)
