import copy

import pytest
import torch
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2d
from mmdet.models.backbones.trident_resnet import TridentConv
from torch import Tensor, nn

from lbwdet.layers import (
    quantizable_layers,
    quantize_,
    quantized_layers,
    register_quantizable,
    unquantized_weights,
)
from lbwdet.layers.quantizable import _CHANNEL_AXES
from lbwdet.quantizers import build_quantizer

WEIGHT = dict(bit_width=3, code="dense")


def rounded(net: nn.Module, granularity: str = "tensor") -> nn.Module:
    """A float copy that holds the quantized weights."""
    quantizer = build_quantizer(**WEIGHT, granularity=granularity)
    copied = copy.deepcopy(net)
    for name, parameter in copied.named_parameters():
        if parameter.dim() > 1:
            parameter.data = quantizer.fake_quantize(parameter, name)
    return copied


class TestAttention:
    @pytest.mark.parametrize("batch_first", [True, False])  # torch has a fused kernel for the first
    def test_computes_with_the_quantized_weights(self, batch_first):
        attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        expected = rounded(attention)
        float_weights = {id(parameter) for parameter in attention.parameters()}
        net = quantize_(nn.Sequential(attention), weight=WEIGHT)
        assert list(quantized_layers(net)) == ["0", "0.out_proj"]
        assert unquantized_weights(net) == {}
        x = torch.randn(3, 5, 8)
        for mode in (True, False):
            assert torch.equal(net.train(mode)[0](x, x, x)[0], expected.train(mode)(x, x, x)[0])
            with torch.no_grad():
                assert torch.allclose(net[0](x, x, x)[0], expected(x, x, x)[0], atol=1e-6)
        for module in (attention, expected):
            module.zero_grad()
            module(x, x, x)[0].square().sum().backward()
        assert torch.equal(attention.in_proj_weight.grad, expected.in_proj_weight.grad)
        assert torch.equal(attention.out_proj.weight.grad, expected.out_proj.weight.grad)
        assert {id(parameter) for parameter in net.parameters()} == float_weights

    @pytest.mark.parametrize("kept, left", [("0", "0.out_proj"), ("0.out_proj", "0")])
    def test_each_half_by_itself(self, kept, left):
        net = quantize_(nn.Sequential(nn.MultiheadAttention(8, 2)), WEIGHT, keep_float=[kept])
        assert list(quantized_layers(net)) == [left]
        net[0](*[torch.randn(3, 1, 8)] * 3)[0].sum().backward()

    def test_scales_per_channel(self):
        net = quantize_(nn.MultiheadAttention(8, 2), weight=dict(**WEIGHT, granularity="channel"))
        assert net.quantized_weight().scale.shape == (24, 1)

    def test_three_matrices_stay_float(self):
        net = nn.Sequential(nn.MultiheadAttention(8, 2, kdim=4, vdim=4), nn.Linear(8, 2))
        quantize_(net, weight=WEIGHT)
        assert list(quantized_layers(net)) == ["1"]
        assert "0.out_proj.weight" in unquantized_weights(net)
        net[0](torch.randn(3, 1, 8), *[torch.randn(3, 1, 4)] * 2)

    def test_the_fused_kernels_of_torch_do_not_see_float_weights(self):
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        encoder = nn.TransformerEncoder(layer, num_layers=2).eval()
        expected = rounded(encoder)
        quantize_(encoder, weight=WEIGHT)
        x, padding = torch.randn(2, 4, 8), torch.tensor([[False] * 4, [False] * 3 + [True]])
        for arguments in ({}, dict(src_key_padding_mask=padding)):
            with torch.no_grad():
                found, wanted = encoder(x, **arguments), expected(x, **arguments)
            assert torch.allclose(found[0], wanted[0], atol=1e-5)


class TestRegistered:
    @pytest.mark.parametrize(
        "layer, inputs",
        [
            (DeformConv2dPack(4, 6, 3, padding=1), [(2, 4, 5, 5)]),
            (
                ModulatedDeformConv2d(4, 6, 3, padding=1),
                [(2, 4, 5, 5), (2, 18, 5, 5), (2, 9, 5, 5)],
            ),
            (TridentConv(4, 6, 3), None),
        ],
        ids=["DeformConv2dPack", "ModulatedDeformConv2d", "TridentConv"],
    )
    def test_convolutions_of_mmcv_and_mmdet(self, layer, inputs):
        arguments = (
            [torch.randn(shape) for shape in inputs] if inputs else [[torch.ones(2, 4, 5, 5)]]
        )
        for parameter in layer.parameters():
            parameter.data.normal_()  # some of these classes leave their memory as it is
        plain = copy.deepcopy(layer)
        quantize_(layer, weight=WEIGHT)
        assert not [name for name in unquantized_weights(layer) if name == "weight"]
        quantizer = build_quantizer(**WEIGHT)
        for name, module in plain.named_modules():
            if name in quantized_layers(layer):
                module.weight.data = quantizer.fake_quantize(module.weight)
        found, wanted = layer(*arguments), plain(*arguments)
        assert torch.equal(torch.as_tensor(found[0]), torch.as_tensor(wanted[0]))
        for output in (found, wanted):
            sum(part.square().sum() for part in output).backward()
        assert torch.equal(layer.weight.grad, plain.weight.grad)

    def test_a_class_of_ones_own(self, monkeypatch):
        class Mixing(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.randn(4, 6))

            def forward(self, x: Tensor) -> Tensor:
                return x @ self.weight

        net = nn.Sequential(Mixing())
        assert list(quantizable_layers(net)) == []
        monkeypatch.setattr("lbwdet.layers.quantizable._CHANNEL_AXES", dict(_CHANNEL_AXES))
        register_quantizable(Mixing, channel_axis=1)
        quantize_(net, weight=dict(**WEIGHT, granularity="channel"))
        assert net[0].quantized_weight().scale.shape == (1, 6)
        x = torch.eye(4)
        assert torch.equal(net(x), net[0].quantized_weight().dequantize())
