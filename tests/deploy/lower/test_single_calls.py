import pytest
import torch
from mmcv.ops import DeformConv2d, deform_conv2d, modulated_deform_conv2d
from mmcv.ops.deform_conv import DeformConv2dFunction
from mmcv.ops.modulated_deform_conv import ModulatedDeformConv2dFunction
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
    kinds = (L2Norm, DeformConv2d, DeformConv2dFunction, ModulatedDeformConv2dFunction)
    before = [kind.__dict__["forward"] for kind in kinds]
    with pytest.raises(KeyError), single_calls():
        assert all(k.__dict__["forward"] is not b for k, b in zip(kinds, before, strict=True))
        raise KeyError
    assert [kind.__dict__["forward"] for kind in kinds] == before


def test_deformable_convolutions_are_mmcvs():
    x, offset = torch.randn(2, 4, 7, 8), torch.randn(2, 2 * 18, 4, 3)
    geometry = ((2, 3), (1, 1), 1, 2, 2)
    plain, bias = torch.randn(6, 2, 3, 3), torch.randn(6)
    calls = [
        lambda: deform_conv2d(x, offset, plain, *geometry),
        lambda: modulated_deform_conv2d(x, offset, offset[:, :18], plain, bias, *geometry),
        lambda: modulated_deform_conv2d(x, offset, offset[:, :18], plain, None, *geometry),
        lambda: small(x[..., :2, :2], offset[..., :2, :2]),
    ]
    small = DeformConv2d(4, 6, 3, padding=1, deform_groups=2)
    expected = [call() for call in calls]
    with single_calls(), torch.no_grad():
        for call, wanted in zip(calls, expected, strict=True):
            torch.testing.assert_close(call(), wanted)
