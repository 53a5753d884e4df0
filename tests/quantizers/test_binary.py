import torch

from lbwdet.quantizers import BinaryQuantizer


def test_sign_times_mean():
    weight = torch.tensor([0.5, -1.5, 0.0, -2.0])
    assert BinaryQuantizer(1).fake_quantize(weight).tolist() == [1.0, -1.0, 1.0, -1.0]
    assert BinaryQuantizer(1).quantize(weight).codes.tolist() == [1, -1, 1, -1]


def test_no_other_scale_is_nearer():
    weight = torch.randn(1000, dtype=torch.float64)
    quantized = BinaryQuantizer(1).quantize(weight)

    def error(scale):
        return (weight - scale * quantized.codes).square().sum()

    scale = quantized.scale.double()
    assert error(scale) < error(scale * 1.001)
    assert error(scale) < error(scale * 0.999)


def test_per_channel_means():
    weight = torch.tensor([[1.0, -3.0], [0.0, 0.0], [0.5, 0.5]])
    quantized = BinaryQuantizer(1, granularity="channel").quantize(weight)
    assert quantized.scale.tolist() == [[2.0], [0.0], [0.5]]
    assert quantized.dequantize().tolist() == [[2.0, -2.0], [0.0, 0.0], [0.5, 0.5]]


def test_the_mean_of_equal_weights_is_exact():
    weight = torch.full((12_345,), 0.1)
    assert torch.equal(BinaryQuantizer(1).fake_quantize(weight), weight)
