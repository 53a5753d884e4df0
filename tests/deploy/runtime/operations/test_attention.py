import dataclasses

import numpy as np
import pytest
import torch
from mmdet.models.backbones.swin import ShiftWindowMSA
from torch.nn import functional as F

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

OPERATION = Attention("q", "k", "v", "y", heads=2, scale=0.5)
CODES = {name: Quantization(0.03125, 120) for name in "qkvy"}


def example(operation=OPERATION, keys=(4, 5), channels=6):
    random = np.random.default_rng(0)
    shapes = {"q": (2, 3, 7, 6), "k": (2, *keys, channels), "v": (2, *keys, 4)}
    values = {name: random.integers(0, 256, s).astype(np.uint8) for name, s in shapes.items()}
    return Example(operation, values, CODES)


def in_reals(given):
    reals = {n: (x.astype(np.float32) - 120) / 32 for n, x in given.values.items()}
    return Example(given.operation, reals)


def test_pytorch_finds_the_same():
    given = example()
    reals = in_reals(given)
    heads = [
        torch.from_numpy(x).flatten(1, 2).unflatten(-1, (2, -1)).transpose(1, 2)
        for x in reals.values.values()
    ]
    expected = F.scaled_dot_product_attention(*heads, scale=0.5).transpose(1, 2)
    expected = expected.reshape(2, 3, 7, 4).numpy()
    np.testing.assert_allclose(compute_alone(reals), expected, rtol=1e-4, atol=1e-5)
    integers = np.clip(np.rint(expected * 32) + 120, 0, 255)
    assert np.abs(compute_alone(given) - integers).max() <= 1


@pytest.mark.parametrize("shift", [0, 2])
def test_windows_are_those_of_mmdetection(shift):
    """Of 7 x 10 pixels, in windows of 4: some lie partly below the map, and beside it."""
    torch.manual_seed(0)
    module = ShiftWindowMSA(8, num_heads=2, window_size=4, shift_size=shift).eval()
    for parameter in module.parameters():
        parameter.data.normal_()
    x = torch.randn(2, 70, 8)
    with torch.no_grad():
        expected = module(x, (7, 10)).view(2, 7, 10, 8)
        attention = module.w_msa
        parts = attention.qkv(x).view(2, 7, 10, 3, 8).numpy()
        bias = attention.relative_position_bias_table[attention.relative_position_index.flatten()]
    table = np.zeros((2, 7, 7), np.float32)
    y, x = np.divmod(np.arange(16), 4)
    table[:, y[:, None] - y + 3, x[:, None] - x + 3] = bias.view(16, 16, 2).permute(2, 0, 1)
    padding = attention.qkv.bias.detach().numpy()
    operation = dataclasses.replace(
        OPERATION,
        window=4,
        shift=shift,
        bias=tuple(table.flatten().tolist()),
        key_padding=tuple(padding[8:16].tolist()),
        value_padding=tuple(padding[16:].tolist()),
    )
    values = {name: parts[..., i, :] for i, name in enumerate("qkv")}
    found = torch.from_numpy(compute_alone(Example(operation, values)))
    with torch.no_grad():
        torch.testing.assert_close(attention.proj(found), expected, rtol=1e-4, atol=1e-4)


def test_across_boxes_their_pixels_are_those_of_one_map():
    random = np.random.default_rng(0)
    values = {n: random.integers(0, 256, (9, 1, 1, 6)).astype(np.uint8) for n in "qkv"}
    across = Example(dataclasses.replace(OPERATION, across=True), values, CODES)
    one = {name: x.reshape(1, 1, 9, 6) for name, x in values.items()}
    expected = compute_alone(Example(OPERATION, one, CODES))
    assert np.array_equal(compute_alone(across).reshape(expected.shape), expected)
    assert len(np.unique(expected)) > 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(across=True), "attention across boxes is one of maps of one pixel"),
        (dict(heads=4), "6 and 4 channels are no 4 heads"),
        (dict(shift=1), "belong to a window, and there is none"),
        (dict(window=3), "in windows there are as many queries as keys"),
    ],
)
def test_what_is_no_attention(changes, message):
    with pytest.raises(ArtifactError, match=message):
        check_alone(example(dataclasses.replace(OPERATION, **changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(shift=3), "a shift of 3 in 3 pixels"),
        (dict(bias=(1.0,)), "1 numbers are no bias of 2 heads"),
        (dict(value_padding=(1.0,) * 3), r"the pixels around the map have \(6, 3\) channels"),
    ],
)
def test_what_is_no_window(changes, message):
    given = dict(window=3, key_padding=(0.0,) * 6, value_padding=(0.0,) * 4) | changes
    with pytest.raises(ArtifactError, match=message):
        check_alone(example(dataclasses.replace(OPERATION, **given), keys=(3, 7)))


def test_queries_and_keys_have_the_same_channels():
    with pytest.raises(ArtifactError, match="queries, keys and values do not fit together"):
        check_alone(example(channels=8))


def test_queries_that_are_not_kept_see_those_that_are():
    random = np.random.default_rng(0)
    reals = {name: random.normal(0, 2, (1, 2, 4, 6)).astype(np.float32) for name in "qkv"}
    kept = np.array([5, -1, 2], np.float32).reshape(1, 1, 3, 1)
    operation = dataclasses.replace(OPERATION, kept="kept")
    found = compute_alone(Example(operation, reals | {"kept": kept}))
    heads = [
        torch.from_numpy(x).flatten(1, 2).unflatten(-1, (2, -1)).transpose(1, 2)
        for x in reals.values()
    ]
    there = torch.zeros(8, dtype=torch.bool)
    there[[5, 2]] = True
    seen = there[:, None] | there
    expected = F.scaled_dot_product_attention(*heads, attn_mask=seen, scale=0.5).transpose(1, 2)
    np.testing.assert_allclose(found, expected.reshape(1, 2, 4, 6).numpy(), rtol=1e-4, atol=1e-5)


def test_what_is_kept_are_queries_that_are_keys():
    given = example(dataclasses.replace(OPERATION, kept="kept"))
    values = given.values | {"kept": np.zeros((2, 1, 3, 1), np.float32)}
    with pytest.raises(ArtifactError, match="pixels are kept where queries are keys"):
        check_alone(dataclasses.replace(given, values=values))


def test_queries_see_the_keys_that_they_are_told():
    """One of them nothing, which is as if it was told nothing."""
    random = np.random.default_rng(0)
    shapes = {"q": (1, 1, 3, 6), "k": (1, 4, 5, 6), "v": (1, 4, 5, 6)}
    reals = {name: random.normal(0, 2, shape).astype(np.float32) for name, shape in shapes.items()}
    told = random.normal(0, 1, (1, 4, 5, 3)).astype(np.float32)
    told[..., 1] = -1
    operation = dataclasses.replace(OPERATION, seen="seen")
    found = compute_alone(Example(operation, reals | {"seen": told}))
    heads = [
        torch.from_numpy(x).flatten(1, 2).unflatten(-1, (2, -1)).transpose(1, 2)
        for x in reals.values()
    ]
    seen = torch.from_numpy(told).flatten(0, 2).t() >= 0
    seen[1] = True
    expected = F.scaled_dot_product_attention(*heads, attn_mask=seen, scale=0.5).transpose(1, 2)
    np.testing.assert_allclose(found, expected.reshape(1, 1, 3, 6).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 4, 5, 20), (1, 5, 4, 21)])
def test_what_is_seen_is_told_of_every_key_and_query(shape):
    given = example(dataclasses.replace(OPERATION, seen="seen"))
    values = {name: x[:1] for name, x in given.values.items()} | {"seen": np.zeros(shape, "f4")}
    with pytest.raises(ArtifactError, match="a number for each of them at every key"):
        check_alone(dataclasses.replace(given, values=values))
