"""What regions compute with one another, beside mmcv and MMDetection."""

import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmdet.models.layers import DynamicConv
from torch import nn

from lbwdet.deploy.lower.regions import dynamic_conv, of_boxes, self_attention


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
