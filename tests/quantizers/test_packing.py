import pytest
import torch

from lbwdet.quantizers import NonFiniteWeightError, build_quantizer
from lbwdet.quantizers.packing import WIDTHS, pack

SHAPES = [(16, 3, 7, 7), (8, 16, 1, 1), (5, 512), (1,), (3, 5000), (0, 4), (2, 64, 64)]
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


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_together_is_what_each_gives_by_itself(settings, weights):
    quantizer = build_quantizer(**settings)
    axes = [index % 2 if weight.dim() > 1 else 0 for index, weight in enumerate(weights)]
    names = [str(index) for index in range(len(weights))]
    together = quantizer.fake_quantize_all(weights, names, axes)
    for weight, axis, found in zip(weights, axes, together, strict=True):
        assert found.equal(quantizer.fake_quantize(weight, channel_axis=axis))
        assert found.data_ptr() != weight.data_ptr() or not weight.numel()


def test_half_precision_stays_half_precision(weights):
    quantizer = build_quantizer(4, "dense")
    (found,) = quantizer.fake_quantize_all([weights[0].half()], ["a"], [0])
    assert found.dtype == torch.float16


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_layer_that_is_not_finite_is_named(settings, weights):
    weights[4][1, 7] = torch.nan
    names = [f"layer{index}" for index in range(len(weights))]
    with pytest.raises(NonFiniteWeightError, match="layer4: 1 of 15000 weights are NaN"):
        build_quantizer(**settings).fake_quantize_all(weights, names, [0] * len(weights))


@pytest.mark.parametrize("cut", [True, False])
def test_packing_keeps_every_group_and_adds_zeros(cut):
    layers = [torch.rand(2, 9) + 1, torch.rand(3, 70) + 1, torch.rand(2, 5000) + 1]
    seen = {}
    for packed in pack(layers, cut):
        assert packed.rows.shape[1] in (*WIDTHS, 5000)
        assert (packed.rows > 0).sum() == sum(layers[index].numel() for index in packed.layers)
        assert packed.group.max() + 1 == packed.num_groups
        seen |= dict(zip(packed.layers, packed.unpack(packed.rows), strict=True))
    assert [seen[index].equal(layer) for index, layer in enumerate(layers)] == [True] * 3
    assert max(packed.rows.shape[1] for packed in pack(layers, cut)) == (4096 if cut else 5000)
