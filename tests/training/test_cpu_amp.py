import torch
from mmengine.registry import OPTIM_WRAPPERS

from lbwdet.layers import QuantConv2d
from lbwdet.training import CPUAmpOptimWrapper


def test_forward_in_bfloat16_and_step_in_float32():
    layer = QuantConv2d(3, 4, 3, bit_width=4)
    wrapper = OPTIM_WRAPPERS.build(
        dict(
            type="CPUAmpOptimWrapper",
            optimizer=torch.optim.SGD(layer.parameters(), lr=0.1),
            accumulative_counts=2,
        )
    )
    assert type(wrapper) is CPUAmpOptimWrapper
    before = layer.weight.detach().clone()
    for step in range(2):
        with wrapper.optim_context(layer):
            out = layer(torch.randn(2, 3, 5, 5))
        assert out.dtype == torch.bfloat16
        wrapper.update_params(out.float().square().mean())
        assert torch.equal(layer.weight, before) == (step == 0)
    assert layer.weight.dtype == torch.float32
