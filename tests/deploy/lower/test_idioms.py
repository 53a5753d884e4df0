import pytest
import torch
from mmcv.cnn.bricks import ContextBlock
from mmdet.models.backbones.resnest import RSoftmax, SplitAttentionConv2d
from torch import nn

from lbwdet.deploy.lower.idioms import find_idioms
from lbwdet.deploy.lower.trace import trace
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.multiply import Multiply
from lbwdet.deploy.runtime.operations.softmax_of_parts import SoftmaxOfParts
from lbwdet.deploy.runtime.operations.softmax_pool import SoftmaxPool
from lbwdet.errors import ConfigError


@pytest.mark.parametrize("fusion", ["channel_add", "channel_mul"])
def test_global_context(lowering, fusion):
    torch.manual_seed(0)
    net = ContextBlock(4, 0.5, fusion_types=(fusion,)).eval()
    for name, parameter in net.named_parameters():
        parameter.data.normal_(1.0 if name.endswith("1.weight") else 0.0)
    operations = lowering.check(lambda n, x: n(x), torch.randn(2, 4, 6, 5), net=net).operations
    assert sum(isinstance(operation, SoftmaxPool) for operation in operations) == 1
    assert isinstance(operations[-1], Add if fusion == "channel_add" else Multiply)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("radix", [2, 3])
def test_split_attention(lowering, groups, radix):
    torch.manual_seed(0)
    net = SplitAttentionConv2d(12, 12, 3, padding=1, groups=groups, radix=radix).eval()
    for norm in (layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_()
    operations = lowering.check(lambda n, x: n(x), torch.randn(2, 12, 6, 5), net=net).operations
    (shares,) = (op for op in operations if isinstance(op, SoftmaxOfParts))
    assert (shares.groups, shares.parts) == (groups, radix)
    assert isinstance(operations[-1], Add) and len(operations[-1].inputs) == radix


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (
            lambda x: x.view(2, 3, 256).softmax(1).view(2, 3, 16, 16),
            "no rule for softmax|view from",
        ),
        (lambda x: x.view(2, 3, 1, 16, 16).sum(2), "view from"),
        (lambda x: x.sum(1, keepdim=True), "no rule for sum"),
        (
            lambda x: (x.view(2, 3, 256) @ x.view(2, 256, 3)[:, :, :1]).view(2, 3, 1, 1),
            "no rule for matmul",
        ),
    ],
)
def test_what_is_no_idiom_stays_and_is_refused(lowering, compute, message):
    with pytest.raises(ConfigError, match=message):
        lowering.part(lambda n, x: compute(x))


def test_a_softmax_over_channels_is_no_global_context(lowering):
    def compute(n, x):
        mask = x[:, :1].flatten(2).softmax(1).unsqueeze(-1)  # over the one channel
        return torch.matmul(x.flatten(2).unsqueeze(1), mask).view(2, 3, 1, 1)

    graph = find_idioms(trace(lowering.net, compute, lowering.sample))
    assert "softmax_pool" not in {call.op for call in graph.calls}


def test_parts_in_another_order_are_no_split_attention(lowering):
    sample = torch.randn(2, 12, 1, 1)
    turned = trace(lowering.net, lambda n, x: RSoftmax(3, 2)(x).view(2, 12, 1, 1), sample)
    assert [call.op for call in find_idioms(turned).calls] == ["softmax_of_parts"]
    plain = trace(
        lowering.net, lambda n, x: x.view(2, 2, 3, 2).softmax(2).reshape(2, 12, 1, 1), sample
    )
    assert "softmax_of_parts" not in {call.op for call in find_idioms(plain).calls}
