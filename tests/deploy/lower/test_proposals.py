import math
from types import SimpleNamespace

import pytest
import torch
from mmdet.models import DeformableDETR
from torch import nn

from lbwdet.deploy.lower.deformable_attention import as_tokens
from lbwdet.deploy.lower.proposals import (
    box_encoding,
    check_levels,
    chosen_pixels,
    proposed,
)
from lbwdet.errors import ConfigError


def model():
    torch.manual_seed(0)
    return SimpleNamespace(
        num_queries=20,
        decoder=SimpleNamespace(num_layers=0),
        bbox_head=SimpleNamespace(cls_branches=[nn.Linear(8, 3)], reg_branches=[nn.Linear(8, 4)]),
        memory_trans_fc=nn.Linear(8, 8),
        memory_trans_norm=nn.LayerNorm(8),
    )


@torch.no_grad()
@pytest.mark.parametrize("classes", [1, 3])
def test_boxes_are_proposed_as_in_mmdetection(classes):
    """At a size where the rim proposes nothing: 60 columns."""
    net, memory = model(), [torch.randn(1, 8, 4, 60), torch.randn(1, 8, 2, 30)]
    tokens = torch.cat([as_tokens(x) for x in memory], 1)
    sides = torch.tensor([[4, 60], [2, 30]])
    inner, start = DeformableDETR.gen_encoder_output_proposals(net, tokens, None, sides)
    scores = net.bbox_head.cls_branches[0](inner)[..., :classes].amax(-1)
    boxes = (net.bbox_head.reg_branches[0](inner) + start).sigmoid()
    expected = boxes[:, scores.topk(20).indices[0]]
    found = as_tokens(proposed(net, memory, classes)).sigmoid()
    torch.testing.assert_close(found, expected)


def test_numbers_below_zero_choose_nothing():
    x, numbers = torch.ones(1, 2, 1, 3), torch.tensor([2.0, -1.0]).reshape(1, 1, 1, 2)
    assert chosen_pixels([x], numbers).tolist() == [[[[1, 0]], [[1, 0]]]]


def test_the_encoding_of_the_first_stage_is_mmdetections():
    boxes = torch.randn(1, 4, 1, 6)
    expected = DeformableDETR.get_proposal_pos_embed(as_tokens(boxes))
    found = as_tokens(box_encoding(boxes, 128, [0, 1, 2, 3], 10000.0, 2 * math.pi))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_boxes_as_large_as_the_image_are_refused():
    check_levels(SimpleNamespace(num_feature_levels=5))
    with pytest.raises(ConfigError, match="num_feature_levels=6 cannot be lowered"):
        check_levels(SimpleNamespace(num_feature_levels=6))
