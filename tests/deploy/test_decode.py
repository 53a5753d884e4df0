"""An artifact's weights in a PyTorch model: those that training computed with."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.decode import decoded_weights, load_into
from lbwdet.deploy.runtime.artifact import Artifact, read_artifact
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import ArtifactError
from lbwdet.layers import QuantLayer, quantize_
from lbwdet.layers.quantize import quantized_layers


class Head(nn.Module):
    """Layers of the golden detector's names and sizes; ``fc`` reads flattened 5x5 maps."""

    def __init__(self, fc_size=75):
        super().__init__()
        self.rpn = nn.ModuleDict({"cls": nn.Conv2d(3, 1, 1), "reg": nn.Conv2d(3, 4, 1)})
        self.fc = nn.Linear(fc_size, 2)
        self.fc.cls, self.fc.reg = nn.Linear(2, 2), nn.Linear(2, 4)


def stored(layer: QuantLayer) -> StoredWeight:
    quantized = layer.quantized_weight()
    codes = quantized.codes.reshape(*quantized.codes.shape, *[1] * (4 - quantized.codes.dim()))
    outputs = len(codes)
    return StoredWeight(
        codes.numpy(),
        quantized.scale.reshape(-1).numpy(),
        layer.quantizer.code,
        quantized.bit_width,
        quantized.num_magnitudes,
        np.ones(outputs, np.float32),
        layer.bias.detach().numpy(),
    )


BIT_WIDTHS = st.integers(1, 8)
WEIGHTS = st.one_of(
    st.fixed_dictionaries(
        {
            "bit_width": BIT_WIDTHS,
            "code": st.sampled_from(["paper", "dense"]),
            "granularity": st.sampled_from(["tensor", "channel"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "bit_width": st.integers(3, 8),
            "solver": st.just("threshold"),
            "code": st.sampled_from(["paper", "dense"]),
            "granularity": st.sampled_from(["tensor", "channel"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "bit_width": st.just(2),
            "solver": st.just("sort"),
            "granularity": st.sampled_from(["tensor", "channel"]),
        }
    ),
)


@given(WEIGHTS, st.integers(0, 99), st.booleans())
@settings(max_examples=40)
def test_through_the_file_they_equal_training_exactly(
    tmp_path_factory, golden_artifact, weight, seed, entropy_coding
):
    torch.manual_seed(seed)
    model = quantize_(Head(), weight=weight)
    layers = quantized_layers(model)
    weights = {}
    for name, layer in layers.items():
        shape = golden_artifact.weights[name].codes.shape
        found = stored(layer)
        weights[name] = dataclasses.replace(found, codes=found.codes.reshape(shape))
    path = tmp_path_factory.getbasetemp() / "decoded.lbw"
    write_artifact(path, dataclasses.replace(golden_artifact, weights=weights), entropy_coding)
    expected = {name: layer.fake_quantized_weight().detach() for name, layer in layers.items()}
    decoded = decoded_weights(read_artifact(path))
    assert set(decoded) == {f"{name}.weight" for name in expected}
    for name, value in expected.items():
        assert torch.equal(decoded[f"{name}.weight"].reshape(value.shape), value)

    fresh = Head()
    fresh.load_state_dict(model.state_dict())
    for target in (fresh, model):  # float, and one that quantizes
        load_into(target, read_artifact(path))
        for name, value in expected.items():
            assert torch.equal(target.get_submodule(name).weight, value)
        assert torch.equal(target.fc.bias, model.fc.bias)
    assert not quantized_layers(model)


def test_a_model_that_does_not_fit_is_left_alone(golden_artifact: Artifact):
    for model, message in (
        (nn.Sequential(nn.Linear(2, 2)), "the model has no parameter 'rpn.cls.weight'"),
        (Head(fc_size=74), r"fc.weight is \(2, 74\) in the model, \(2, 3, 5, 5\) in the artifact"),
    ):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(ArtifactError, match=message):
            load_into(model, golden_artifact)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
