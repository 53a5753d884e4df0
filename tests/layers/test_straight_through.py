import gc
import weakref

import torch

from lbwdet.layers.straight_through import StraightThrough


class Layer:
    forgot = 0

    def forget_projection(self):
        self.forgot += 1


def test_values_forward_and_gradients_backward_without_a_copy():
    layers = [Layer(), Layer()]
    masters = [torch.randn(3, requires_grad=True) for _ in layers]
    quantized = [torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.5, 1.0, 2.0])]
    out = StraightThrough.apply(layers, quantized, *masters)
    assert [a.data_ptr() for a in out] == [b.data_ptr() for b in quantized]
    assert all(each.requires_grad for each in out)
    assert [layer.forgot for layer in layers] == [0, 0]
    (out[0] * torch.tensor([1.0, 10.0, 100.0]) + 2 * out[1]).sum().backward()
    assert [layer.forgot for layer in layers] == [1, 1]
    assert [master.grad.tolist() for master in masters] == [[1, 10, 100], [2, 2, 2]]


def test_gradients_of_several_uses_add_up():
    layer, master = Layer(), torch.zeros(1, requires_grad=True)
    outs = [StraightThrough.apply([layer], [torch.ones(1)], master)[0] for _ in range(3)]
    (outs[0] + 2 * outs[1] + 4 * outs[2] + 8 * outs[2]).backward()
    assert master.grad.item() == 15


def test_a_layer_without_a_gradient_has_none_and_forgets_nothing():
    layers = [Layer(), Layer()]
    masters = [torch.zeros(2, requires_grad=True) for _ in layers]
    used, unused = StraightThrough.apply(layers, [torch.ones(2), torch.ones(2)], *masters)
    used.sum().backward()
    assert masters[1].grad is None
    assert [layer.forgot for layer in layers] == [1, 0]
    (3 * unused).sum().backward()  # a second backward pass, of another loss
    assert [master.grad.tolist() for master in masters] == [[1, 1], [3, 3]]


def test_layers_are_held_weakly():
    layer, master = Layer(), torch.zeros(1, requires_grad=True)
    (layer.out,) = StraightThrough.apply([layer], [torch.ones(1)], master)
    reference, out = weakref.ref(layer), layer.out
    gc.disable()  # reference counting alone must do
    try:
        del layer
        assert reference() is None
    finally:
        gc.enable()
    out.backward()
    assert master.grad.item() == 1
