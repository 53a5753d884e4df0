import pytest
import torch

from lbwdet.quantizers import build_quantizer
from lbwdet.quantizers.gaps import gaps, weight_gaps


def test_gaps_are_half_way_between_the_neighbours():
    levels = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    assert gaps(levels).tolist() == [0.5, 0.5, 0.5, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("code, bit_width", [("dense", 3), ("paper", 6), ("two-term", 5)])
def test_every_weight_has_the_gap_of_its_own_level(code, bit_width):
    quantizer = build_quantizer(bit_width, code=code, granularity="channel")
    weight = torch.randn(5, 4, 3, 3) * torch.logspace(-2, 2, 5).reshape(-1, 1, 1, 1)
    quantized = quantizer.quantize(weight)
    found, values = weight_gaps(quantized), quantized.dequantize()
    levels = torch.cat([-quantizer.magnitudes.flip(0), torch.zeros(1), quantizer.magnitudes])
    for channel, scale in enumerate(quantized.scale.flatten()):
        own = levels * scale
        for value, gap in zip(values[channel].flatten(), found[channel].flatten(), strict=True):
            index = int((own - value).abs().argmin())
            low, high = max(index - 1, 0), min(index + 1, len(own) - 1)
            assert gap == (own[high] - own[low]) / (high - low)


def test_at_one_bit_there_are_two_levels():
    quantized = build_quantizer(1).quantize(torch.tensor([0.5, -1.5]))
    assert weight_gaps(quantized).tolist() == [2.0, 2.0]
