import pytest
import torch
from mmdet.models import SinePositionalEncoding
from mmdet.models.backbones.pvt import AbsolutePositionEmbedding
from mmdet.models.utils import generate_coordinate
from torch import nn

from lbwdet.deploy.lower.places import coordinates, embedding, sine_encoding_of
from lbwdet.deploy.runtime.operations.coordinates import Coordinates
from lbwdet.deploy.runtime.operations.embedding import Embedding
from lbwdet.deploy.runtime.operations.sine_encoding import SineEncoding


@pytest.mark.parametrize("normalize", [True, False])
def test_places_as_sines(lowering, normalize):
    module = SinePositionalEncoding(4, normalize=normalize)
    x = torch.randn(1, 3, 9, 13)
    (encoding,) = lowering.check(lambda n, x: sine_encoding_of(module, x), x).operations
    assert isinstance(encoding, SineEncoding) and encoding.channels == 4
    torch.testing.assert_close(sine_encoding_of(module, x), module(None, x), atol=2e-5, rtol=0)


def test_what_a_network_has_learned(lowering):
    net = nn.Embedding(6, 4)
    part = lowering.check(
        lambda n, x: embedding(n.weight, x, 2, 3), torch.randn(1, 3, 8, 8), net=net
    )
    (operation,) = part.operations
    assert isinstance(operation, Embedding) and (operation.height, operation.width) == (2, 3)
    assert operation.layer in part.layers


def test_learned_places_of_another_size(lowering):
    torch.manual_seed(0)
    module = AbsolutePositionEmbedding((4, 5), 3).eval()
    module.pos_embed.data.normal_()

    def compute(net, x):
        tokens = net(x.flatten(2).transpose(1, 2), x.shape[2:])
        return tokens.transpose(1, 2).reshape(x.shape)

    part = lowering.check(compute, torch.randn(1, 3, 8, 10), net=module)
    assert [type(o).__name__ for o in part.operations] == ["Embedding", "Resize", "Add"]


def test_coordinates(lowering):
    x = torch.randn(1, 3, 5, 7)
    (operation,) = lowering.check(lambda n, x: coordinates(x), x).operations
    assert isinstance(operation, Coordinates)
    torch.testing.assert_close(coordinates(x), generate_coordinate(x.shape, x.device))
