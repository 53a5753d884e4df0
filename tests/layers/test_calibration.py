import pytest
import torch
from torch import nn

from lbwdet.errors import ConfigError, LBWError
from lbwdet.layers import (
    activation_keys,
    calibration,
    input_quantizers,
    limit_resolutions,
    quantize_,
)


@pytest.fixture
def net() -> nn.Module:
    layers = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 5), nn.Linear(5, 2))
    return quantize_(layers, weight=dict(bit_width=4), activation=dict(bit_width=4))


def test_each_layer_gets_the_resolution_of_its_own_input(net):
    x = torch.randn(32, 6)
    with calibration(net):
        net(x)
        net(10 * x)
    found = {name: q for name, q in input_quantizers(net).items()}
    assert list(found) == [f"{index}.input_quantizer" for index in (0, 2, 3)]
    assert [q.signed for q in found.values()] == [True, False, True]
    assert torch.equal(found["0.input_quantizer"].alpha, found["0.input_quantizer"].calibrated)
    # 255 steps over the range of the second batch, less what is better clipped
    first = found["0.input_quantizer"].scale.item()
    assert 0.5 < first / (10 * (x.max() - x.min()).item() / 255) <= 1.2


def test_layers_without_data_and_errors_leave_things_as_they_are(net):
    with calibration(net):
        net[0](torch.randn(4, 6))
    assert [q.is_calibrated for q in input_quantizers(net).values()] == [True, False, False]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ZeroDivisionError), calibration(net):
        net(torch.randn(4, 6))
        _ = 1 / 0
    assert all(torch.equal(net.state_dict()[key], value) for key, value in state.items())
    net[0](torch.randn(4, 6))  # quantizes again


def test_only_what_is_missing(net):
    with calibration(net):
        net[0](torch.randn(4, 6))
    alpha = net[0].input_quantizer.scale.clone()
    with calibration(net, again=False):
        net(torch.randn(4, 6) * 9)
    assert torch.equal(net[0].input_quantizer.scale, alpha)
    assert all(q.is_calibrated for q in input_quantizers(net).values())


def test_nothing_to_calibrate():
    with (
        pytest.raises(ConfigError, match="Linear has no activation quantizer"),
        calibration(nn.Linear(2, 2)),
    ):
        pass


def test_keys(net):
    names = ("alpha", "zero_point", "calibrated")
    assert activation_keys(net) == {f"{i}.input_quantizer.{n}" for i in (0, 2, 3) for n in names}
    assert activation_keys(net[0].input_quantizer) == set(names)
    assert activation_keys(nn.Linear(1, 1)) == set()


class TestLimits:
    @pytest.fixture
    def net(self, net):
        with calibration(net):
            net(torch.randn(32, 6))
        return net

    @pytest.mark.parametrize("factor, kept", [(100, 8), (0.001, 1 / 8), (-5, 1 / 8), (7, 7)])
    def test_a_factor_of_8_from_the_start(self, net, factor, kept):
        quantizer = net[2].input_quantizer
        start = quantizer.scale.clone()
        with torch.no_grad():
            quantizer.alpha.mul_(factor)
        assert limit_resolutions(net) == ([] if kept == factor else ["2"])
        torch.testing.assert_close(quantizer.scale, start * kept)
        assert limit_resolutions(net) == []

    def test_non_finite(self, net):
        net[3].input_quantizer.alpha.data.fill_(float("nan"))
        with pytest.raises(LBWError, match=r"^3: the resolution of the activations is NaN"):
            limit_resolutions(net)

    def test_frozen_and_float_ones(self, net):
        net.requires_grad_(False)
        net[2].input_quantizer.alpha.mul_(100)
        assert limit_resolutions(net) == limit_resolutions(nn.Linear(1, 1)) == []


def test_without_calibration_nothing_is_limited(net):
    assert limit_resolutions(net) == []
    assert net[0].input_quantizer.alpha.item() == 1


def test_a_layer_in_two_places_has_keys_of_each():
    shared = nn.Linear(3, 3)
    float_keys = set(nn.Sequential(shared, nn.ReLU(), shared).state_dict())
    net = quantize_(nn.Sequential(shared, nn.ReLU(), shared), dict(bit_width=4), dict(bit_width=8))
    assert set(net.state_dict()) - activation_keys(net) == float_keys
    assert len(input_quantizers(net)) == 1
