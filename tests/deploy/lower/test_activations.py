from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lbwdet.deploy.lower.activations import trained_activations
from lbwdet.deploy.lower.draft import LayerParameters
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ConfigError


class Quantizer(nn.Module):
    """The attributes of an activation quantizer that deployment reads."""

    def __init__(self, **attributes):
        super().__init__()
        self.__dict__.update(SimpleNamespace(**attributes).__dict__)


LAYERS = {
    name: LayerParameters(module, f"{module}.weight", (1, 1), (1.0,), (0.0,))
    for name, module in (("0", "0"), ("1:0", "1"))
}


def net(**attributes):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1))
    model[1].input_quantizer = Quantizer(**attributes)
    return model


def test_kinds_of_inputs():
    positive = net(
        is_calibrated=True, scale=torch.tensor(0.1), zero_point=0, bit_width=4, rounding="ceil"
    )
    assert trained_activations(positive, LAYERS) == {
        "1:0": Quantization(float(torch.tensor(0.1)), 0, 15, "ceil")
    }
    both = net(
        is_calibrated=True, scale=torch.tensor(0.5), zero_point=7, bit_width=8, rounding="nearest"
    )
    assert trained_activations(both, LAYERS) == {"1:0": Quantization(0.5, 7, 255, "nearest")}


def test_steps_of_channels():
    known = dict(is_calibrated=True, scale=torch.tensor(0.5), zero_point=7, bit_width=8)
    for exponents, expected in ([-2, 0, 0, 1], (-2, 0, 0, 1)), ([0, 0, 0, 0], ()):
        found = trained_activations(
            net(**known, rounding="nearest", exponents=torch.tensor(exponents)), LAYERS
        )
        assert found["1:0"].exponents == expected


def test_one_that_saw_no_data():
    with pytest.raises(ConfigError, match="1: its activation quantizer has seen no data"):
        trained_activations(net(is_calibrated=False), LAYERS)
