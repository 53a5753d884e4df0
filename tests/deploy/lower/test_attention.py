import pytest
import torch
from mmcv.cnn import NonLocal2d
from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from mmdet.models.backbones.swin import PatchMerging, ShiftWindowMSA
from torch import nn

from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.embedding import Embedding
from lbwdet.errors import ConfigError


@pytest.mark.parametrize("mode", ["gaussian", "embedded_gaussian"])
@pytest.mark.parametrize("sub_sample", [True, False])
def test_non_local_blocks(lowering, mode, sub_sample):
    torch.manual_seed(0)
    block = NonLocal2d(3, reduction=1, mode=mode, sub_sample=sub_sample, zeros_init=False)
    part = lowering.check(lambda n, x: n(x), net=block.eval())
    (attention,) = [each for each in part.operations if isinstance(each, Attention)]
    assert attention.heads == 1
    assert attention.scale == (1.0 if mode == "gaussian" else pytest.approx(3**-0.5))


def test_a_non_local_block_without_softmax(lowering):
    block = NonLocal2d(3, reduction=1, mode="dot_product", zeros_init=False)
    with pytest.raises(ConfigError, match="cannot be lowered"):
        lowering.part(lambda n, x: n(x), net=block.eval())


def empirical(attention_type, **settings):
    block = GeneralizedAttention(8, num_heads=2, attention_type=attention_type, **settings)
    for parameter in block.parameters():
        parameter.data.normal_(0, 0.5)
    return block.eval()


@pytest.mark.parametrize("settings", [dict(kv_stride=2), dict(q_stride=2, kv_stride=1)])
def test_a_learned_query(lowering, settings):
    torch.manual_seed(0)
    block = empirical("0010", **settings)
    part = lowering.check(lambda n, x: n(x), torch.randn(1, 8, 6, 7), net=block)
    (attention,) = [each for each in part.operations if isinstance(each, Attention)]
    (query,) = [each for each in part.operations if isinstance(each, Embedding)]
    assert (attention.query, attention.heads, attention.scale) == (query.output, 2, 1.0)


def test_other_empirical_attention(lowering):
    with pytest.raises(ConfigError, match="cannot be lowered"):
        lowering.part(lambda n, x: n(x), torch.randn(1, 8, 6, 7), net=empirical("1111"))


@pytest.mark.parametrize("shift", [0, 1])
def test_windows_of_swin(lowering, shift):
    torch.manual_seed(0)
    block = ShiftWindowMSA(6, num_heads=2, window_size=3, shift_size=shift).eval()
    for parameter in block.parameters():
        parameter.data.normal_(0, 0.5)

    def compute(net, x):
        tokens = net(x.flatten(2).transpose(1, 2), x.shape[2:])
        return tokens.transpose(1, 2).reshape(x.shape)

    part = lowering.check(compute, torch.randn(2, 6, 7, 8), net=block)
    (attention,) = [each for each in part.operations if isinstance(each, Attention)]
    assert (attention.window, attention.shift, len(attention.bias)) == (3, shift, 2 * 25)
    assert "w_msa.qkv:0" in part.layers and "w_msa.proj" in part.layers


def test_patches_of_swin(lowering):
    torch.manual_seed(0)
    merge = PatchMerging(3, 5).eval()
    merge.norm.weight.data.normal_()

    def compute(net, x):
        tokens, _ = net(x.flatten(2).transpose(1, 2), (16, 16))
        return tokens.transpose(1, 2).reshape(2, 5, 8, 8)

    lowering.check(compute, net=merge)


def test_masks_are_refused(lowering):
    net = nn.MultiheadAttention(3, 1, batch_first=True).eval()
    mask = torch.zeros(256, 256)

    def compute(net, x):
        tokens = x.flatten(2).transpose(1, 2)
        return net(tokens, tokens, tokens, attn_mask=mask)[0]

    with pytest.raises(ConfigError, match="cannot be lowered"):
        lowering.part(compute, net=net)
    assert nn.MultiheadAttention.forward.__module__ == nn.MultiheadAttention.__module__
