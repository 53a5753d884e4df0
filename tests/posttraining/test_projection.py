from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from lbwdet.layers import quantize_, quantized_layers
from lbwdet.posttraining.pair import Pair
from lbwdet.posttraining.projection import Projection, count
from lbwdet.posttraining.settings import PostTraining


def test_zeros_and_levels_are_counted():
    assert count(torch.tensor([0.0, 1.0, -1.0, 1.0])) == dict(zeros=0.25, levels=3)


@pytest.mark.parametrize("real_scales", [True, False])
@torch.no_grad()
def test_one_layer_and_the_norm_behind_it(real_scales):
    floating = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)).eval()
    low = quantize_(
        nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)).eval(),
        dict(bit_width=4, code="dense", granularity="channel"),
    )
    low.load_state_dict(floating.state_dict())
    layers = quantized_layers(low)
    quantizers = {name: layer.quantizer for name, layer in layers.items()}
    images = [torch.randn(2, 3, 12, 12) for _ in range(3)]
    pair = Pair(low, floating, layers, images, lambda model, x: model(x), 10**9)
    calls = [((x,), (x,)) for x in images]
    with ThreadPoolExecutor(2) as pool:
        projection = Projection(
            pair, layers, quantizers, PostTraining(real_scales=real_scales), pool
        )
        result = projection.layer("0", "0", calls)
        projection.norm("1", [((floating[0](x),), (low[0](x),)) for x in images])
    assert result.after < result.before
    top = projection.tops["0"].log2()
    assert torch.equal(top, top.round())  # stored are powers of two
    output = torch.cat([low(x) for x in images])
    wanted = torch.cat([floating(x) for x in images])
    assert torch.allclose(output.mean((0, 2, 3)), wanted.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(output.std((0, 2, 3)), wanted.std((0, 2, 3)), rtol=1e-4)
