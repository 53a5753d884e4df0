import pytest
import torch
from mmdet.models.layers import NormedConv2d, NormedLinear
from mmdet.models.necks.ssd_neck import L2Norm

from lbwdet.deploy.lower.single_calls import l2_norm, over_lengths, single_calls


def test_the_call_is_what_the_module_computes():
    norm, x = L2Norm(3, eps=0.01), torch.randn(2, 3, 4, 5)
    norm.weight.data = torch.tensor([20.0, -3.0, 0.5])
    expected = norm(x)
    torch.testing.assert_close(l2_norm(x, norm.weight, 0.01), expected)
    torch.library.opcheck(l2_norm, (x, norm.weight.detach(), 0.01), test_utils="test_faketensor")
    with single_calls():
        torch.testing.assert_close(norm(x), expected)


def test_layers_of_unit_vectors():
    x = torch.randn(2, 3, 4, 5)
    linear, conv = NormedLinear(3, 6, tempearture=7, eps=0.01), NormedConv2d(3, 6, 1, stride=2)
    others = NormedConv2d(3, 6, 3), NormedLinear(3, 6, power=2), NormedConv2d(3, 6, 1, bias=False)
    for layer in (linear, conv, *others):
        torch.nn.init.normal_(layer.weight)
        given = x[:, :, 0, 0] if isinstance(layer, NormedLinear) else x
        expected = layer(given)
        with single_calls():
            torch.testing.assert_close(layer(given), expected)
    case = (torch.randn(2, 6, 4, 5), conv.weight.detach(), 0.01)
    torch.library.opcheck(over_lengths, case, test_utils="test_faketensor")


def test_modules_are_their_own_again_after_an_error():
    before = L2Norm.forward
    with pytest.raises(KeyError), single_calls():
        assert L2Norm.forward is not before
        raise KeyError
    assert L2Norm.forward is before
