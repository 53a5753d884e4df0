"""Every quantized class is pickled and copied: ``torch.save(model)``, EMA, worker pools."""

import copy
import io
import subprocess
import sys

import pytest
import torch
from mmcv.cnn.bricks import ConvAWS2d, ConvWS2d
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmdet.models.backbones.trident_resnet import TridentConv
from mmdet.models.dense_heads.tood_head import TaskDecomposition
from torch import nn

import lbwdet.compat  # noqa: F401
from lbwdet.layers import quantize_, quantized_layers

LAYERS = {
    "Conv1d": nn.Conv1d(4, 4, 3),
    "Conv2d": nn.Conv2d(4, 4, 3),
    "Conv3d": nn.Conv3d(4, 4, 3),
    "ConvTranspose1d": nn.ConvTranspose1d(4, 4, 3),
    "ConvTranspose2d": nn.ConvTranspose2d(4, 4, 3),
    "ConvTranspose3d": nn.ConvTranspose3d(4, 4, 3),
    "Linear": nn.Linear(4, 4),
    "MultiheadAttention": nn.MultiheadAttention(4, 2),
    "ConvWS2d": ConvWS2d(4, 4, 3),
    "ConvAWS2d": ConvAWS2d(4, 4, 3),
    "DeformConv2d": DeformConv2d(4, 4, 3),
    "ModulatedDeformConv2d": ModulatedDeformConv2d(4, 4, 3),
    "TridentConv": TridentConv(4, 4, 3),
}


def saved(module):
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, saved])
@pytest.mark.parametrize("name", LAYERS)
def test_every_class(name, again):
    settings = dict(weight=dict(bit_width=4), activation=dict(bit_width=8))
    layer = copy.deepcopy(LAYERS[name])
    for parameter in layer.parameters():  # TridentConv's begin as whatever was in memory
        nn.init.normal_(parameter)
    module = quantize_(nn.Sequential(layer), **settings)
    other = again(module)
    assert type(other[0]) is type(module[0])
    assert other.state_dict().keys() == module.state_dict().keys()
    assert quantized_layers(other).keys() == quantized_layers(module).keys() != set()
    for key, layer in quantized_layers(module).items():
        twin = quantized_layers(other)[key]
        assert torch.equal(twin.fake_quantized_weight(), layer.fake_quantized_weight())
        assert repr(twin.quantizer) == repr(layer.quantizer) and twin.layer_name == layer.layer_name
        assert (twin.input_quantizer is None) == (layer.input_quantizer is None)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, saved])
def test_a_module_that_reads_a_weight_below_it(again):
    module = quantize_(TaskDecomposition(8, 2), weight=dict(bit_width=2))
    other = again(module)
    assert type(other) is type(module) is not TaskDecomposition
    features, average = torch.rand(1, 16, 4, 4), torch.rand(1, 16, 1, 1)
    assert torch.equal(other.eval()(features, average), module.eval()(features, average))


def test_another_process_reads_it(tmp_path):
    module = nn.Sequential(nn.Conv1d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.MultiheadAttention(4, 2))
    torch.save(quantize_(module, weight=dict(bit_width=3)), tmp_path / "model.pth")
    program = (
        "import sys, torch; model = torch.load(sys.argv[1], weights_only=False)\n"
        "from lbwdet.layers import quantized_layers; print(*quantized_layers(model))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.pth")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stdout == "0 1 2 2.out_proj\n", run.stderr
