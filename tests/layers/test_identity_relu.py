"""The identity estimator reaches what lies before the ReLU; the others do not."""

import pytest
import torch
from torch import Tensor, nn

from lbwdet.layers import calibration, quantize_
from lbwdet.layers.identity_relu import IdentityReLU


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 4))


def with_estimator(ste: str) -> nn.Sequential:
    model = quantize_(net(), weight=dict(bit_width=4), activation=dict(bit_width=2, ste=ste))
    with calibration(model), torch.no_grad():
        model(data())
    return model


def data() -> Tensor:
    return torch.randn(32, 6, generator=torch.Generator().manual_seed(1))


def bias_gradient(ste: str) -> Tensor:
    model = with_estimator(ste)
    model(data()).square().sum().backward()
    gradient = model[0].bias.grad
    assert gradient is not None
    return gradient


def test_the_three_estimators_give_three_gradients() -> None:
    clipped, relu, identity = map(bias_gradient, ("clipped_relu", "relu", "identity"))
    assert not torch.allclose(relu, identity)
    assert not torch.allclose(relu, clipped)


def test_the_identity_gradient_is_that_of_a_net_without_relu_derivative() -> None:
    model = with_estimator("identity")
    out = model(data())
    upstream = (2 * out) @ model[2].fake_quantized_weight()
    out.square().sum().backward()
    torch.testing.assert_close(model[0].bias.grad, upstream.sum(0))


@pytest.mark.parametrize("inplace", [False, True])
def test_forward_is_a_relu_and_leaves_its_input(inplace: bool) -> None:
    x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    out = IdentityReLU(inplace)(x)
    assert out.tolist() == [0.0, 0.0, 2.0]
    out.backward(torch.tensor([3.0, 4.0, 5.0]))
    assert x.grad is not None and x.grad.tolist() == [3.0, 4.0, 5.0]
    with torch.no_grad():
        assert IdentityReLU()(x).tolist() == [0.0, 0.0, 2.0]


def test_other_settings_bring_the_plain_relu_back() -> None:
    model = with_estimator("identity")
    assert type(model[1]) is IdentityReLU
    assert type(with_estimator("relu")[1]) is nn.ReLU
    for activation in (dict(bit_width=2), None):
        quantize_(model, weight=dict(bit_width=4), activation=dict(bit_width=2, ste="identity"))
        quantize_(model, weight=dict(bit_width=4), activation=activation)
        assert type(model[1]) is nn.ReLU


def test_relus_of_another_kind_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU6(), nn.Linear(8, 4))
    quantize_(model, weight=dict(bit_width=4), activation=dict(ste="identity"))
    assert type(model[1]) is nn.ReLU6
