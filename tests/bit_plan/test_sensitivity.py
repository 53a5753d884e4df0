import pytest
import torch
from torch import nn

from lbwdet.bit_plan.sensitivity import TrainingLoss, layer_sensitivities, quantizers_of
from lbwdet.configs import load_config
from lbwdet.errors import ConfigError, DataError
from lbwdet.layers import quantize_, quantized_layers
from lbwdet.measuring.detectors import build_detector
from lbwdet.quantizers import build_quantizer


@pytest.fixture
def network() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    return quantize_(net, weight=dict(bit_width=4)).eval()


class TestLayerSensitivities:
    def test_one_layer_at_a_time(self, network):
        x = torch.eye(4)
        first, second = (layer.weight.detach() for layer in network)
        two, three = build_quantizer(2), build_quantizer(3)

        def measure(net: nn.Module) -> float:
            return net(x).square().sum().item()

        baseline, changes = layer_sensitivities(
            network, {"0": {2: two, 3: three}, "1": {2: two}}, measure
        )
        assert baseline == pytest.approx((second @ first).square().sum().item())
        wanted = {
            ("0", 2): second @ two.fake_quantize(first),
            ("0", 3): second @ three.fake_quantize(first),
            ("1", 2): two.fake_quantize(second) @ first,
        }
        for (name, width), product in wanted.items():
            change = product.square().sum().item() - baseline
            assert changes[name][width] == pytest.approx(change, abs=1e-4)

    def test_the_settings_are_back(self, network):
        before = [layer.quantizer for layer in network]
        expected = network(torch.eye(4))
        with pytest.raises(ZeroDivisionError), quantizers_of(network, {"0": build_quantizer(2)}):
            assert network[1].quantizer is None and network[0].quantizer.bit_width == 2
            network(torch.eye(4))
            1 / 0  # noqa: B018
        assert [layer.quantizer for layer in network] == before
        assert torch.equal(network(torch.eye(4)), expected)

    def test_an_unknown_layer(self, network):
        with pytest.raises(ConfigError, match="does not quantize: 7"):
            layer_sensitivities(network, {"7": {}}, lambda _: 0.0)


class TestTrainingLoss:
    def test_is_the_same_every_time_and_learns_nothing(self, float_detector):
        cfg = load_config(float_detector.config)
        loss = TrainingLoss(cfg, 3)
        assert loss.num_images == 3
        model = build_detector(cfg, float_detector.checkpoint)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        first = loss(model)
        torch.rand(3)
        assert loss(model) == first > 0
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert not model.training

    def test_sees_quantization(self, float_detector):
        cfg = load_config(float_detector.config)
        loss = TrainingLoss(cfg, 1)
        model = build_detector(cfg, float_detector.checkpoint)
        plain = loss(model)
        quantize_(model, weight=dict(bit_width=2))
        assert loss(model) != plain
        with quantizers_of(model, {}):
            assert not quantized_layers(model) and loss(model) == plain

    def test_without_data(self, float_detector, tmp_path):
        cfg = load_config(float_detector.config)
        cfg.train_dataloader.dataset.data_root = str(tmp_path)
        with pytest.raises(DataError, match="data not found"):
            TrainingLoss(cfg, 2)
        cfg.train_dataloader = None
        with pytest.raises(ConfigError, match="no 'train_dataloader'"):
            TrainingLoss(cfg, 2)
