"""A layer whose weight is read by the module above it, past its own forward."""

import copy

import pytest
import torch
from torch import Tensor, nn

from lbwdet.layers import calibration, quantize_, quantized_layers, register_weight_reader
from lbwdet.layers import weight_readers as room


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 4, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x @ self.inner[0].weight.T


class SpecialReader(Reader):
    pass


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(room, "_READERS", dict(room._READERS))
    register_weight_reader(f"{Reader.__module__}.{Reader.__qualname__}", "inner.0")


def net(kind: type[Reader] = Reader) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), kind())


@pytest.mark.parametrize("kind", [Reader, SpecialReader])
def test_it_reads_the_quantized_weight_and_trains_the_master(kind):
    model = quantize_(net(kind), weight=dict(bit_width=2))
    layer = quantized_layers(model)["1.inner.0"]
    x = torch.randn(3, 6)
    out = model[1](x)
    torch.testing.assert_close(out, 2 * x @ layer.quantized_weight().dequantize().T)
    assert layer.weight is layer._parameters["weight"] and layer.weight.requires_grad
    out.sum().backward()
    torch.testing.assert_close(layer.weight.grad, 2 * x.sum(0).expand(4, 6))
    assert isinstance(model[1], kind) and list(model.state_dict()) == list(net(kind).state_dict())


def test_its_input_is_not_quantized_as_nobody_hands_it_over():
    model = quantize_(net(), weight=dict(bit_width=2), activation=dict(bit_width=8))
    assert model[0].input_quantizer is not None and model[1].inner[0].input_quantizer is None
    with calibration(model), torch.no_grad():
        model(torch.randn(3, 5))
    model(torch.randn(3, 5))


def test_kept_float_it_is_the_float_module_again():
    model, plain, x = net(), net(), torch.randn(3, 5)
    quantize_(model, weight=dict(bit_width=2))
    quantize_(model, weight=dict(bit_width=2), keep_float=["1.inner.0"])
    assert torch.equal(model[1](x @ model[0].weight.T), plain[1](x @ model[0].weight.T))


def test_copies_and_second_calls():
    model = quantize_(quantize_(net(), weight=dict(bit_width=3)), weight=dict(bit_width=2))
    twin, x = copy.deepcopy(model), torch.randn(3, 5)
    assert torch.equal(twin(x), model(x))
    assert type(model[1]).__mro__.count(room.WeightReader) == 1
