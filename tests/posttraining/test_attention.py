import copy

import pytest
import torch
from torch import Tensor, nn

from lbwdet.layers import quantize_, quantized_layers
from lbwdet.posttraining import PostTraining, Refinement, post_train
from lbwdet.posttraining.attention import attention_matrices


@pytest.mark.parametrize("batch_first, bias", [(True, True), (False, False)])
@torch.no_grad()
def test_both_matrices_are_what_torch_computes_with(batch_first, bias):
    layer = nn.MultiheadAttention(8, 2, bias=bias, batch_first=batch_first).eval()
    query, key = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    args = (query, key, key)
    output = layer(*args)
    into, out = attention_matrices(layer, args, output)
    assert torch.equal(into.weight(into.rows(into.stored)), layer.in_proj_weight)
    columns = into.columns(args, 1000)
    assert columns.shape == (3, 8, 10)
    heads = torch.cat([group.T for group in into.rows(into.stored) @ columns], 1)
    projected = nn.functional.linear(query, layer.in_proj_weight[:8]).reshape(-1, 8)
    assert torch.allclose(heads[:, :8], projected, atol=1e-6)
    assert torch.equal(columns[1], columns[2])
    wanted = out.rows(out.stored) @ out.columns(args, 1000)
    if out.bias is not None:
        wanted = wanted + out.bias[:, None]
    assert torch.allclose(wanted[0].T.reshape(2, 5, 8), output[0], atol=1e-6)
    assert torch.equal(layer(*args)[0], output[0])  # the probe is gone


@torch.no_grad()
def test_as_many_columns_of_each_where_keys_are_fewer():
    layer = nn.MultiheadAttention(8, 2).eval()
    args = (torch.randn(7, 1, 8), torch.randn(3, 1, 8), torch.randn(3, 1, 8))
    into, _ = attention_matrices(layer, args, layer(*args))
    assert into.columns(args, 1000).shape == (3, 8, 3)


@torch.no_grad()
def test_one_that_computes_in_its_own_way_is_left_alone():
    class Own(nn.MultiheadAttention):
        def forward(self, query, key, value):
            return super().forward(2 * query, key, value)

    layer, x = Own(8, 2).eval(), torch.randn(3, 1, 8)
    assert attention_matrices(layer, (x,) * 3, layer(x, x, x)) is None


class Tokens(nn.Module):
    """Attention as detectors call it: by keywords, and not in the order of the signature."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(16, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.last = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        mask = torch.zeros(len(x), x.shape[1], dtype=torch.bool, device=x.device)
        mask[:, -1] = True
        found, _ = self.attention(value=x, key=x, key_padding_mask=mask, query=x)
        result: Tensor = self.last(x + found)
        return result


def test_projections_are_chosen_by_what_they_read():
    net = Tokens().eval()
    nn.init.uniform_(net.attention.in_proj_bias, -0.1, 0.1)
    scale = torch.logspace(-1, 1, 16)  # channels of unlike sizes
    images = [torch.randn(4, 12, 16) @ torch.randn(16, 16) * scale for _ in range(6)]

    @torch.no_grad()
    def distance(low):
        pairs = [(net(x), low(x)) for x in images]
        return sum(float((a - b).square().mean() / a.var()) for a, b in pairs)

    low = quantize_(copy.deepcopy(net), dict(bit_width=4, code="dense", granularity="channel"))
    before = distance(low)
    refined = copy.deepcopy(low)
    layers = post_train(low, images).layers
    assert [layer.name for layer in layers] == [
        "stem",
        "attention",
        "attention.out_proj",
        "last",
    ]
    assert all(layer.after is not None and layer.after < layer.before for layer in layers)
    assert distance(low) < 0.3 * before
    for name, layer in quantized_layers(low).items():
        assert torch.equal(layer.fake_quantized_weight(), layer.weight), name
    losses = []
    post_train(
        refined,
        images,
        settings=PostTraining(refinement=Refinement(steps=40, batch=6)),
        on_step=lambda _, loss: losses.append(loss),
    )
    assert losses[-1] < losses[0]
