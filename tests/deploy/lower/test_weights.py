import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.lower.draft import LayerParameters
from lbwdet.deploy.lower.trace import Graph
from lbwdet.deploy.lower.weights import float_weights, store_weights, uniform_codes
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.errors import ArtifactError, ConfigError
from lbwdet.layers import quantize_
from lbwdet.layers.quantize import quantized_layers


def conv(inputs=5, outputs=4):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3))


def store(net, name="0", kernel=(3, 3), computed=None):
    """The one layer's stored weight; ``computed`` takes the place of its parameter."""
    constants = dict(net.named_parameters())
    outputs = len(constants[f"{name}.weight"])
    weight, made_of = f"{name}.weight", {}
    if computed is not None:
        weight = "div"
        constants[weight], made_of[weight] = computed, frozenset({f"{name}.weight"})
    bias = constants[f"{name}.bias"].double().tolist()
    layer = LayerParameters(name, weight, kernel, (1.0,) * outputs, tuple(bias))
    return store_weights(net, {"layer": layer}, Graph({}, constants, made_of, (), ()))["layer"]


@pytest.mark.parametrize(
    ("bit_width", "code", "granularity"),
    [
        *itertools.product(range(1, 9), ("paper", "dense"), ("tensor", "channel")),
        *itertools.product((4, 5, 6), ("two-term",), ("tensor", "channel")),
    ],
)
def test_decodes_to_the_very_weights_of_training(bit_width, code, granularity):
    quant = dict(bit_width=bit_width, code=code, granularity=granularity)
    net = quantize_(conv(), weight=quant).eval()
    stored = store(net)
    expected = net[0].fake_quantized_weight().detach().numpy()
    np.testing.assert_array_equal(stored.dequantize(), expected)
    assert stored.scale.shape == ((4,) if granularity == "channel" else (1,))
    assert (stored.bit_width, stored.code) == (bit_width, code)
    np.testing.assert_array_equal(stored.bias, net[0].bias.detach())
    assert (stored.gain == 1).all()


def test_in_two_terms():
    """Each leaves at most 2**-7 of the largest."""
    constants = {"0.weight": torch.randn(6, 50)}
    layer = LayerParameters("0", "0.weight", (1, 1), (1.0,) * 12, (0.0,) * 12, in_two=True)
    net, graph = nn.Sequential(nn.Embedding(6, 50)), Graph({}, constants, {}, (), ())
    stored = store_weights(net, {"layer": layer}, graph)["layer"]
    assert stored.codes.shape == (12, 50, 1, 1)
    first, second = np.split(stored.dequantize()[..., 0, 0], 2)
    expected = constants["0.weight"].numpy()
    largest = np.abs(expected).max(1, keepdims=True)
    assert (np.abs(first - expected) > largest / 1000).any()
    assert (np.abs(first + second - expected) < largest * 2**-14 * 1.01).all()
    in_training = float_weights(net, {"layer": layer}, graph)["layer"][..., 0, 0]
    np.testing.assert_array_equal(in_training, np.concatenate([expected, 0 * expected]))


class Head(nn.Module):
    """Layers of the golden detector's names and sizes; ``fc`` reads flattened 5x5 maps."""

    def __init__(self):
        super().__init__()
        self.rpn = nn.ModuleDict({"cls": nn.Conv2d(3, 1, 1), "reg": nn.Conv2d(3, 4, 1)})
        self.fc = nn.Linear(75, 2)
        self.fc.cls, self.fc.reg = nn.Linear(2, 2), nn.Linear(2, 4)


GRANULARITIES = st.sampled_from(["tensor", "channel"])
WEIGHTS = st.one_of(
    st.fixed_dictionaries(
        {
            "bit_width": st.integers(1, 8),
            "code": st.sampled_from(["paper", "dense"]),
            "granularity": GRANULARITIES,
        }
    ),
    st.fixed_dictionaries(
        {
            "bit_width": st.integers(3, 8),
            "solver": st.just("threshold"),
            "code": st.sampled_from(["paper", "dense"]),
            "granularity": GRANULARITIES,
        }
    ),
    st.fixed_dictionaries(
        {"bit_width": st.just(2), "solver": st.just("sort"), "granularity": GRANULARITIES}
    ),
)


@given(WEIGHTS, st.integers(0, 99), st.booleans())
@settings(max_examples=40)
def test_through_the_file_they_equal_training_exactly(
    tmp_path_factory, golden_artifact, weight, seed, entropy_coding
):
    torch.manual_seed(seed)
    layers = quantized_layers(model := quantize_(Head(), weight=weight))
    shapes = {name: golden_artifact.weights[name].codes.shape for name in layers}
    weights = {name: store(model, name, shapes[name][2:]) for name in layers}
    path = tmp_path_factory.getbasetemp() / "weights.lbw"
    write_artifact(path, dataclasses.replace(golden_artifact, weights=weights), entropy_coding)
    found = read_artifact(path).weights
    for name, layer in layers.items():
        expected = layer.fake_quantized_weight().detach().numpy()
        np.testing.assert_array_equal(found[name].dequantize().reshape(expected.shape), expected)


def test_a_linear_layer_gets_the_shape_of_its_map():
    net = quantize_(nn.Sequential(nn.Linear(2 * 3 * 4, 5)), weight=dict(bit_width=4)).eval()
    stored = store(net, kernel=(3, 4))
    assert stored.codes.shape == (5, 2, 3, 4)
    flat = net[0].fake_quantized_weight().detach().numpy()
    np.testing.assert_array_equal(stored.dequantize().reshape(5, -1), flat)


def test_float_layers_are_rounded_to_64_steps_of_each_channel():
    weight = np.random.default_rng(0).standard_normal((6, 3, 4, 5)).astype(np.float32)
    weight[1] *= 100
    weight[5] = 0
    codes, scale = uniform_codes(weight)
    assert codes.dtype == np.int8 and codes.shape == weight.shape
    assert (np.abs(codes[:5]).max((1, 2, 3)) == 64).all() and (codes[5] == 0).all()
    error = np.abs(codes * scale[:, None, None, None] - weight).max((1, 2, 3))
    assert (error <= 0.5001 * np.abs(weight).max((1, 2, 3)) / 64).all()
    stored = store(conv())
    assert (stored.code, stored.bit_width, stored.num_magnitudes) == ("uniform", 8, 0)


@pytest.mark.parametrize("bit_width", [None, 4])
def test_what_training_has_is_kept_where_it_is_float(bit_width):
    net = nn.Sequential(nn.Linear(2 * 3 * 4, 5))
    if bit_width is not None:
        quantize_(net, weight=dict(bit_width=bit_width))
    layer = LayerParameters("0", "0.weight", (3, 4), (1.0,) * 5, (0.0,) * 5)
    graph = Graph({}, dict(net.named_parameters()), {}, (), ())
    kept = float_weights(net, {"layer": layer}, graph)
    if bit_width is not None:
        assert kept == {}
        return
    assert kept["layer"].shape == (5, 2, 3, 4)
    np.testing.assert_array_equal(kept["layer"].reshape(5, -1), net[0].weight.detach())


def test_computed_weights_are_stored_like_float_ones_unless_they_come_from_low_bit_ones():
    net = conv()
    computed = net[0].weight.detach() / 3
    np.testing.assert_array_equal(store(net, computed=computed).codes, store(net).codes)
    quantize_(net, weight=dict(bit_width=4))
    with pytest.raises(
        ConfigError, match=r"0 cannot .*computes its weight from 0.weight, whose 4-"
    ):
        store(net, computed=computed)


def test_what_cannot_be_stored():
    wide = quantize_(nn.Sequential(nn.Linear(140_000, 1)), weight=dict(bit_width=4, code="dense"))
    wide[0].weight.data.fill_(1)
    with pytest.raises(ArtifactError, match=r"layer.*accumulator could reach"):
        store(wide, kernel=(1, 1))
    net = conv()
    net[0].weight.data[0] = torch.nan
    with pytest.raises(ConfigError, match="0: weights are NaN"):
        store(net)
