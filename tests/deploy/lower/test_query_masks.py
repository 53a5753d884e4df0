import torch
from torch import nn

from lbwdet.deploy.lower.deformable_attention import as_map, as_tokens
from lbwdet.deploy.lower.query_masks import query_masks, unseen
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.query_masks import QueryMasks


def test_queries_attend_to_what_they_see(lowering):
    layers = [nn.Conv2d(3, 4, 1), nn.MultiheadAttention(4, 2, batch_first=True)]
    net = nn.ModuleList(layers).eval()

    def compute(net, x):
        pixels = net[0](x)
        queries = pixels[:, :, 3:]
        masks = query_masks(queries, pixels)
        query, keys = as_tokens(queries), as_tokens(pixels)
        found, _ = net[1](query, keys, keys, attn_mask=unseen(masks))
        return masks, as_map(found, (1, 5))

    part = lowering.check(compute, torch.randn(1, 3, 4, 5), net=net)
    (attention,) = [o for o in part.operations if isinstance(o, Attention)]
    (masks,) = [o for o in part.operations if isinstance(o, QueryMasks)]
    assert attention.seen == masks.output and attention.kept is None


def test_of_a_query_that_sees_nothing_nothing_is_hidden():
    masks = torch.tensor([[-1.0, 2.0], [-1.0, -2.0], [0.0, 1.0]])[None, :, None]
    assert unseen(masks).tolist() == [[True, False], [False, False], [False, False]]


def test_masks_of_queries():
    kernels, features = torch.randn(1, 3, 1, 4), torch.randn(1, 3, 5, 6)
    expected = torch.einsum("cq,chw->qhw", kernels[0, :, 0], features[0])
    torch.testing.assert_close(query_masks(kernels, features)[0], expected)
