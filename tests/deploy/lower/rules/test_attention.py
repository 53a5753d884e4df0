import torch
from torch import nn

from lbwdet.deploy.lower.attention import kept_mask
from lbwdet.deploy.lower.deformable_attention import as_map, as_tokens
from lbwdet.deploy.lower.proposals import distinct_pixels
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.distinct_pixels import DistinctPixels
from lbwdet.deploy.runtime.operations.softmax_pool import SoftmaxPool


def test_a_mean_of_pixels_weighted_by_a_softmax(lowering):
    def compute(n, x):
        weights = x[:, 1:2].flatten(2).softmax(-1).unsqueeze(-1)
        return torch.matmul(x.flatten(2).unsqueeze(1), weights).view(2, 3, 1, 1)

    first, pool = lowering.check(compute).operations
    assert pool == SoftmaxPool("input", first.output, pool.output)


def test_queries_of_which_some_are_kept(lowering):
    net = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.MultiheadAttention(4, 2, batch_first=True)]).eval()

    def compute(net, x):
        x = net[0](x)
        kept = distinct_pixels([x[:, :1]], [x], 6, 0.2)
        tokens = as_tokens(x)
        return as_map(net[1](tokens, tokens, tokens, attn_mask=kept_mask(kept, 6))[0], (2, 3))

    part = lowering.check(compute, torch.randn(1, 3, 2, 3), net=net)
    (attention,) = [o for o in part.operations if isinstance(o, Attention)]
    (distinct,) = [o for o in part.operations if isinstance(o, DistinctPixels)]
    assert attention.kept == distinct.output
