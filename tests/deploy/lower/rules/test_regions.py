"""Rules of regions; their numbers are compared in heads/test_sparse_rcnn.py."""

import torch
from torch import nn
from torch.nn import functional as F

from lbwdet.deploy.lower.regions import attention_across, of_boxes, region_product


def test_a_vector_for_each_box(lowering):
    net = nn.Embedding(6, 4)
    (operation,) = lowering.part(
        lambda n, x: of_boxes(n.weight, x), torch.zeros(6, 4), net=net
    ).operations
    assert (operation.boxes, operation.width, operation.height) == ("input", 6, 1)


def test_attention_across_regions(lowering):
    x = torch.randn(5, 6)
    (attention,) = lowering.part(lambda n, x: attention_across(x, x, x, 2, 0.5), x).operations
    assert attention.across and (attention.heads, attention.scale) == (2, 0.5)


def test_numbers_of_a_matrix(lowering):
    """In reals, the region's pixels times its own matrix."""
    net = nn.Linear(3, 9)

    def compute(net, x):
        return region_product(x, net(F.adaptive_avg_pool2d(x, 1).flatten(1)), 2, 2)

    *_, product = lowering.check(compute, net=net).operations
    assert product.input == "input" and (product.first, product.channels) == (2, 2)


def test_a_layer_of_pixels_that_have_their_channels_together(lowering):
    net = nn.Linear(3 * 5 * 4, 6)
    part = lowering.check(
        lambda net, x: net(x.flatten(2).transpose(1, 2).flatten(1)),
        torch.randn(2, 3, 5, 4),
        net=net,
    )
    (conv,) = part.operations
    assert conv.kernel == (5, 4) and part.layers[conv.layer].channels_last


def test_layer_norm_of_vectors(lowering):
    net = nn.LayerNorm(6)
    nn.init.normal_(net.weight)
    (norm,) = lowering.check(lambda net, x: net(x), torch.randn(5, 6), net=net).operations
    assert norm.groups == 1
