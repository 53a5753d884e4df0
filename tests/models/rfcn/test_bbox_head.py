import copy

import torch
from mmdet.registry import MODELS
from mmengine.runner.utils import set_random_seed

from lbwdet.layers import quantized_layers

HEAD = dict(in_channels=16, feat_channels=8, grid_size=3, num_classes=5)


def built(kind: str = "RFCNHead", **changes):
    set_random_seed(0)
    head = MODELS.build(dict(type=kind, **copy.deepcopy(HEAD), **changes))
    head.init_weights()
    return head


def test_shapes_of_the_maps_and_of_the_votes():
    classes, boxes = built().score_maps(torch.randn(2, 16, 6, 7))
    assert classes.shape == (2, 6 * 9, 6, 7)
    assert boxes.shape == (2, 4 * 9, 6, 7)
    each = built(reg_class_agnostic=False).score_maps(torch.randn(2, 16, 6, 7))[1]
    assert each.shape == (2, 5 * 4 * 9, 6, 7)


def test_the_vote_is_the_mean_of_the_cells():
    pooled = torch.randn(7, 6, 3, 3), torch.randn(7, 4, 3, 3)
    for vote, cells in zip(built()(pooled), pooled, strict=True):
        torch.testing.assert_close(vote, cells.flatten(2).sum(2) / 9)


def test_no_region_has_no_vote():
    classes, boxes = built()((torch.zeros(0, 6, 3, 3), torch.zeros(0, 4, 3, 3)))
    assert classes.shape == (0, 6) and boxes.shape == (0, 4)


def test_initial_weights_of_the_predictors():
    head = built()
    assert 0.005 < head.fc_cls.weight.std() < 0.02
    assert head.fc_reg.weight.std() < 0.002
    assert not head.fc_cls.bias.any()


def test_normalization_of_the_reduced_features():
    names = list(built(norm_cfg=dict(type="BN")).state_dict())
    assert "reduce.bn.weight" in names and "reduce.conv.bias" not in names


def test_low_bits_keep_keys_and_initial_weights():
    low_bit = built("LBWRFCNHead", quant=dict(weight=dict(bit_width=4)))
    assert list(quantized_layers(low_bit)) == ["fc_cls", "fc_reg", "reduce.conv"]
    state, expected = low_bit.state_dict(), built().state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[key], expected[key]) for key in expected)
