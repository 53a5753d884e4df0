import copy

import pytest
import torch
from mmcv.cnn import ConvModule
from mmdet.models import FPN, ResNet, RPNHead, Shared2FCBBoxHead
from mmdet.registry import MODELS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.runner.utils import set_random_seed
from torch import nn

from lbwdet.errors import ConfigError
from lbwdet.layers import QuantConv2d, QuantLinear, QuantReLU, calibration, quantized_layers
from lbwdet.models import LBWFPN, LBWResNet, LBWRPNHead, LBWShared2FCBBoxHead

QUANT = dict(weight=dict(bit_width=4, code="dense"))
PARTS = [
    (LBWResNet, ResNet, dict(depth=18, base_channels=8)),
    (LBWResNet, ResNet, dict(depth=50, base_channels=4, style="caffe")),
    (LBWFPN, FPN, dict(in_channels=[8, 16], out_channels=8, num_outs=3)),
    (LBWRPNHead, RPNHead, dict(in_channels=8, feat_channels=8)),
    (
        LBWShared2FCBBoxHead,
        Shared2FCBBoxHead,
        dict(in_channels=8, fc_out_channels=16, roi_feat_size=3, num_classes=2),
    ),
]
each_part = pytest.mark.parametrize(
    "low_bit, plain, arguments", PARTS, ids=lambda x: getattr(x, "__name__", "")
)


def built(kind: type[nn.Module], seed: int = 3, **arguments) -> nn.Module:
    set_random_seed(seed)
    part = MODELS.build(dict(type=kind.__name__, **copy.deepcopy(arguments)))
    part.init_weights()
    return part


@each_part
class TestParts:
    def test_same_keys_and_same_initial_weights(self, low_bit, plain, arguments):
        expected = built(plain, **arguments).state_dict()
        for quant in (None, QUANT, dict(weight=dict(bit_width=32))):
            state = built(low_bit, **arguments, quant=quant).state_dict()
            assert list(state) == list(expected)
            for name, value in expected.items():
                assert torch.equal(state[name], value), name

    def test_what_is_quantized(self, low_bit, plain, arguments):
        assert not quantized_layers(built(low_bit, **arguments))
        part = built(low_bit, **arguments, quant=QUANT)
        expected = [
            name
            for name, layer in built(plain, **arguments).named_modules()
            if isinstance(layer, nn.Conv2d | nn.Linear)
        ]
        assert list(quantized_layers(part)) == expected
        assert isinstance(part, plain)

    def test_errors_name_the_part(self, low_bit, plain, arguments):
        with pytest.raises(ConfigError, match=f"'nothing' matches no layer of {low_bit.__name__}"):
            low_bit(**arguments, quant=dict(**QUANT, keep_float=["nothing"]))


def test_float_parts_compute_the_same():
    plain, part = (
        built(ResNet, depth=18, base_channels=8),
        built(LBWResNet, depth=18, base_channels=8, quant=dict(weight=dict(bit_width=32))),
    )
    x = torch.randn(2, 3, 32, 32)
    for one, other in zip(plain(x), part(x), strict=True):
        assert torch.equal(one, other)


def test_keep_float_and_overrides():
    part = built(
        LBWShared2FCBBoxHead,
        **PARTS[-1][2],
        quant=dict(**QUANT, keep_float=["fc_*"], overrides={"shared_fcs.0": dict(bit_width=8)}),
    )
    widths = {name: layer.quantizer.bit_width for name, layer in quantized_layers(part).items()}
    assert widths == {"shared_fcs.0": 8, "shared_fcs.1": 4}


def test_frozen_stages_are_quantized_but_not_trained():
    part = built(LBWResNet, depth=18, base_channels=8, frozen_stages=1, quant=QUANT)
    part.train()
    part(torch.randn(1, 3, 64, 64))[-1].sum().backward()
    frozen = part.layer1[0].conv1
    assert frozen.weight.grad is None and frozen.quantizer.bit_width == 4
    assert not torch.equal(frozen.fake_quantized_weight(), frozen.weight)
    assert part.layer2[0].conv1.weight.grad is not None


class TestLayerDoors:
    def test_conv_cfg_of_a_backbone(self):
        conv_cfg = dict(type="LBWConv2d", bit_width=4, code="dense")
        part = built(ResNet, depth=18, base_channels=8, conv_cfg=conv_cfg)
        plain = built(ResNet, depth=18, base_channels=8)
        layers = quantized_layers(part)
        convolutions = [m for m in plain.modules() if isinstance(m, nn.Conv2d)]
        assert len(layers) == len(convolutions)
        assert {layer.quantizer.num_magnitudes for layer in layers.values()} == {7}
        state, expected = part.state_dict(), plain.state_dict()
        assert list(state) == list(expected)
        assert all(torch.equal(state[name], expected[name]) for name in expected)
        part(torch.randn(1, 3, 64, 64))[-1].sum().backward()

    def test_registered_in_the_root(self):
        assert ROOT_MODELS.get("LBWConv2d") is QuantConv2d
        assert ROOT_MODELS.get("LBWLinear") is QuantLinear

    def test_act_cfg(self):
        act_cfg = dict(type="QuantReLU", bit_width=4)
        module = ConvModule(3, 4, 3, act_cfg=act_cfg)
        assert isinstance(module.activate, QuantReLU)
        assert module.activate.settings.bit_width == 4
        with calibration(module):
            module(torch.randn(1, 3, 8, 8))
        assert module(torch.randn(1, 3, 8, 8)).unique().numel() <= 16
