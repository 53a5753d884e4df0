import math

import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.layers import inverse_sigmoid

from lbwdet.deploy.lower.deformable_attention import as_map, as_tokens, attend, projected, refined


@pytest.mark.parametrize("columns", [2, 4], ids=["points", "boxes"])
def test_a_module_of_mmcv_finds_the_same(columns):
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(8, 2, num_levels=2, num_points=3, batch_first=True)
    for parameter in module.eval().parameters():
        parameter.data.normal_(0, 0.5)
    maps = [torch.randn(1, 8, 6, 9), torch.randn(1, 8, 3, 5)]
    queries, places = torch.randn(2, 1, 4, 8)
    references = torch.randn(1, columns, 1, 4)
    with torch.no_grad():
        values = projected(module, maps)
        found = attend(module, queries, places, (1, 4), values, references)
        expected = module(
            queries,
            value=torch.cat([as_tokens(x) for x in maps], 1),
            query_pos=places,
            reference_points=as_tokens(references).sigmoid()[:, :, None].repeat(1, 1, 2, 1),
            spatial_shapes=torch.tensor([[6, 9], [3, 5]]),
            level_start_index=torch.tensor([0, 54]),
        )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("eps", [1e-5, 1e-3])
@pytest.mark.parametrize("columns", [2, 4], ids=["points", "boxes"])
def test_boxes_are_refined_as_in_mmdetection(columns, eps):
    torch.manual_seed(0)
    deltas, references = torch.randn(1, 4, 1, 50), 8 * torch.randn(1, columns, 1, 50)
    expected = deltas.clone()
    expected[:, :columns] += inverse_sigmoid(references.double().sigmoid(), eps).float()
    found = refined(deltas, references, eps)
    torch.testing.assert_close(found, expected, rtol=0, atol=eps * 1.001)
    limit = math.log((1 - eps) / eps)
    inside = references.abs() < limit - 0.1
    torch.testing.assert_close(found[:, :columns][inside], expected[:, :columns][inside])
    assert (references.abs() > limit).any()


def test_maps_and_tokens():
    x = torch.randn(1, 3, 4, 5)
    assert torch.equal(as_map(as_tokens(x), (4, 5)), x)
