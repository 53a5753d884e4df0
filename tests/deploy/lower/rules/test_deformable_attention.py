import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from torch import nn

from lbwdet.deploy.lower.deformable_attention import as_map, as_tokens, attend, projected
from lbwdet.deploy.runtime.operations.deformable_attention import DeformableAttention


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 2, stride=2)
        self.attention = MultiScaleDeformableAttention(8, 2, num_levels=2, num_points=3)
        self.where = nn.Linear(8, 2)
        for parameter in self.attention.parameters():
            parameter.data.normal_(0, 0.5)


@pytest.mark.parametrize("placed", [False, True], ids=["pixels", "places"])
def test_it_is_one_operation(lowering, placed):
    torch.manual_seed(0)

    def compute(net, x):
        maps = [net.fine(x), net.coarse(x)]
        queries, size = as_tokens(maps[1]), maps[1].shape[2:]
        references = as_map(net.where(queries), size) if placed else None
        values = projected(net.attention, maps)
        return as_map(attend(net.attention, queries, queries, size, values, references), size)

    part = lowering.check(compute, torch.randn(1, 3, 6, 8), net=Net().eval())
    (found,) = [o for o in part.operations if isinstance(o, DeformableAttention)]
    assert (found.heads, found.points, len(found.values)) == (2, 3, 2)
    assert (found.references is not None) == placed
