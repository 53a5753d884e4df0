import pytest
import torch

from lbwdet.quantizers import NonFiniteWeightError, build_quantizer
from lbwdet.quantizers.packing import ALIGNED, ROW, Arrangement

SHAPES = [(16, 3, 7, 7), (8, 16, 1, 1), (5, 512), (1,), (), (3, 5000), (2, 64, 64)]
SETTINGS = [
    dict(bit_width=6),
    dict(bit_width=4, code="dense", granularity="channel"),
    dict(bit_width=6, code="two-term", granularity="channel"),
    dict(bit_width=4, code="two-term"),
    dict(bit_width=1),
    dict(bit_width=2, solver="sort"),
    dict(bit_width=4, solver="threshold", mu=0.6),
]


@pytest.fixture
def weights() -> list[torch.Tensor]:
    """Of sizes decades apart, one of them all zero."""
    torch.manual_seed(0)
    sizes = 10.0 ** torch.randint(-6, 6, (len(SHAPES),))
    sizes[2] = 0
    return [torch.randn(shape) * size for shape, size in zip(SHAPES, sizes, strict=True)]


def together(settings, weights, axes=None):
    names = [f"layer{index}" for index in range(len(weights))]
    axes = axes or [0] * len(weights)
    return build_quantizer(**settings).fake_quantize_all(weights, names, axes)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_together_is_what_each_gives_by_itself(settings, weights):
    axes = [index % 2 if weight.dim() > 1 else 0 for index, weight in enumerate(weights)]
    quantizer = build_quantizer(**settings)
    for weight, axis, found in zip(weights, axes, together(settings, weights, axes), strict=True):
        assert found.equal(quantizer.fake_quantize(weight, channel_axis=axis))
        assert found.data_ptr() != weight.data_ptr()


@pytest.mark.parametrize("settings", SETTINGS[:4], ids=str)
@pytest.mark.parametrize("seed", range(8))
def test_weights_that_take_a_long_search(settings, seed):
    """Outliers above thousands of small weights, zeros, and the ends of float32's range."""
    torch.manual_seed(seed)
    weights = [torch.randn(4, 700) * 10.0 ** torch.randint(-5, 1, (4, 700)) for _ in range(3)]
    weights[0] *= 10.0 ** torch.randint(-44, 38, (4, 1))
    weights[0].clamp_(-3e38, 3e38)
    weights[1][1:3] = 0
    weights[2][:, 1:] = 1e-3
    quantizer = build_quantizer(**settings)
    for weight, found in zip(weights, together(settings, weights), strict=True):
        assert found.equal(quantizer.fake_quantize(weight))


@pytest.mark.parametrize("tried_at_once", [1, 2, 5])
def test_exponents_are_tried_as_many_at_once_as_there_is_room_for(tried_at_once, monkeypatch):
    monkeypatch.setattr("lbwdet.quantizers.two_term._TRIED_AT_ONCE", tried_at_once)
    test_weights_that_take_a_long_search(SETTINGS[2], 0)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_strides_are_kept_and_empty_weights_too(settings):
    weights = [
        torch.randn(8, 3, 5, 5).to(memory_format=torch.channels_last),
        torch.randn(8, 6, 3, 3)[:, ::2],
        torch.randn(6, 4).t(),
    ]
    quantizer = build_quantizer(**settings)
    for extra in ([], [torch.zeros(0, 4)]):
        found = together(settings, weights + extra)
        for weight, each in zip(weights + extra, found, strict=True):
            assert each.equal(quantizer.fake_quantize(weight))
        assert [len(each) for each in found[3:]] == [0] * len(extra)
    if quantizer.packs:
        assert together(settings, weights)[0].is_contiguous(memory_format=torch.channels_last)


def test_half_precision_stays_half_precision(weights):
    (found,) = together(dict(bit_width=4, code="dense"), [weights[0].half()])
    assert found.dtype == torch.float16


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_the_layer_that_is_not_finite_is_named(settings, value, weights):
    weights[5][1, 7] = value
    with pytest.raises(NonFiniteWeightError, match="layer5: 1 of 15000 weights are NaN"):
        together(settings, weights)


@pytest.mark.parametrize(("axes", "width"), [((0, 1), 1), ((None, None), ROW)])
def test_packing_keeps_every_group_and_adds_zeros(axes, width):
    layers = [torch.rand(3, 70) + 1, torch.rand(ROW + 900, 1) + 1]
    arrangement = Arrangement(layers, axes)
    packed = arrangement.pack()
    unpacked = arrangement.unpack(packed.rows)
    assert all(one.equal(other) for one, other in zip(unpacked, layers, strict=True))
    layers[0][1, 5] = 9
    packed = arrangement.pack()  # what they hold by now
    assert packed.rows.shape[1] == width
    flat = packed.rows.view(-1)
    for layer, start in zip(layers, packed.layout.starts, strict=True):
        assert start % ALIGNED == 0
        assert flat[start : start + layer.numel()].equal(layer.view(-1))
    assert flat.count_nonzero() == sum(layer.numel() for layer in layers)
    groups = [layers[0].view(-1)] if axes[0] is None else list(layers[0])
    groups.append(layers[1].view(-1))
    assert packed.num_groups == len(groups)
    assert packed.largest(packed.rows).equal(torch.stack([group.max() for group in groups]))
    twice = torch.stack([packed.rows.double(), 2 * packed.rows.double()])
    sums = torch.stack([group.double().sum() for group in groups])
    torch.testing.assert_close(packed.sums(twice), torch.stack([sums, 2 * sums]))
    assert packed.layout.group.bincount().equal(packed.layout.lengths)
