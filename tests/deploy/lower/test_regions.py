"""What regions compute with one another, beside mmcv and MMDetection."""

import pytest
import torch
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.layers import DynamicConv
from torch import nn

from lbwdet.deploy.lower.regions import dynamic_conv, of_boxes, read_places, self_attention
from lbwdet.errors import ConfigError


def test_attention_of_objects():
    torch.manual_seed(0)
    module, objects = MultiheadAttention(8, 2).eval(), torch.randn(5, 8)
    nn.init.normal_(module.attn.in_proj_bias)
    expected = module(objects[:, None])[:, 0]
    torch.testing.assert_close(self_attention(module, objects), expected)


def test_matrices_for_each_region():
    torch.manual_seed(0)
    features, objects = torch.randn(5, 8, 7, 6), torch.randn(5, 8)
    for with_proj in (True, False):
        module = DynamicConv(8, 3, 8, 1, with_proj).eval()
        if with_proj:
            module.fc_layer = nn.Linear(7 * 6 * 8, 8)
        found = dynamic_conv(module, objects, features)
        torch.testing.assert_close(found, module(objects, features))


def test_what_is_known_of_boxes_is_a_copy():
    weight = torch.randn(4, 3)
    found = of_boxes(weight, torch.zeros(4, 4))
    assert torch.equal(found, weight) and found.data_ptr() != weight.data_ptr()


@pytest.mark.parametrize("size", [7, 4])
def test_attention_by_places(size):
    torch.manual_seed(0)
    net = nn.Module()
    net.part = GeneralizedAttention(8, num_heads=3, attention_type="0100", kv_stride=2).eval()
    net.part.gamma.data.fill_(0.5)
    x = torch.randn(3, 8, size, size)
    with torch.no_grad():
        expected = net.part(x)
        found = read_places("part", net.part, size)(net, x)
    assert (expected - x).abs().max() > 0.1
    torch.testing.assert_close(found, expected)


def test_attention_of_another_kind():
    with pytest.raises(ConfigError, match=r"here: attention_type='1111'.* cannot be lowered"):
        read_places("here", GeneralizedAttention(8, num_heads=2), 7)
