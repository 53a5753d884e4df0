import torch

from lbwdet.layers.straight_through import StraightThrough


def test_value_forward_and_gradient_backward_without_a_copy():
    master = torch.randn(3, requires_grad=True)
    quantized = torch.tensor([1.0, 2.0, 4.0])
    arrived = []
    out = StraightThrough.apply(master, quantized, lambda: arrived.append(True))
    assert out.data_ptr() == quantized.data_ptr()
    assert not arrived
    (out * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert arrived == [True]
    assert master.grad.tolist() == [1.0, 10.0, 100.0]


def test_gradients_of_several_uses_add_up():
    master = torch.zeros(1, requires_grad=True)
    quantized = torch.ones(1)
    outs = [StraightThrough.apply(master, quantized, lambda: None) for _ in range(3)]
    (outs[0] + 2 * outs[1] + 4 * outs[2]).backward()
    assert master.grad.item() == 7
