import torch

from lbwdet.quantizers import PowerOfTwoQuantizer, SortQuantizer


def test_ties_the_exact_solver_on_thousands_of_layers(error_of):
    exact = PowerOfTwoQuantizer(2, granularity="channel")
    sort = SortQuantizer(2, granularity="channel")
    for size in (1, 2, 3, 5, 17, 100):
        normal = torch.randn(500, size)
        heavy = normal / torch.rand(500, size).clamp(min=1e-3)
        grid = torch.randint(-8, 9, (500, size)) / 4.0  # full of ties
        for weight in (normal, heavy, grid):
            errors = [
                (weight.double() - solver.fake_quantize(weight).double()).square().sum(1)
                for solver in (exact, sort)
            ]
            torch.testing.assert_close(errors[0], errors[1], rtol=1e-12, atol=0)


def test_a_worked_example():
    # k = 2: s = floor(log2(4 * 1.8 / 6)) = 0, error .01 + .01 + .04
    weight = torch.tensor([0.9, 0.9, -0.2, 0.0])
    quantized = SortQuantizer(2).quantize(weight)
    assert quantized.codes.tolist() == [1, 1, 0, 0]
    assert quantized.scale_exponent == 0
