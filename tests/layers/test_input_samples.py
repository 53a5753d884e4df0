import pytest
import torch

from lbwdet.layers.input_samples import InputSamples
from lbwdet.quantizers import NonFiniteActivationError


def test_small_tensors_are_kept_whole():
    samples = InputSamples()
    tensors = [torch.randn(2, 3), torch.randn(5), torch.zeros(0, 4)]
    for x in tensors:
        samples.add(x, "")
    assert torch.equal(samples.joined(), torch.cat([x.reshape(-1) for x in tensors]))
    assert samples.low == min(x.min().item() for x in tensors[:2])


def test_large_ones_are_thinned_but_their_minimum_is_not():
    samples = InputSamples()
    x = torch.rand(64, 64, 256)  # a width in powers of two
    x[3, 2, 1] = -1e-6
    for _ in range(20):
        samples.add(x, "")
    values = samples.joined()
    assert samples.low == pytest.approx(-1e-6)
    assert 8_000 < values.numel() <= 1 << 14
    assert values.mean().item() == pytest.approx(0.5, abs=0.02)
    columns = torch.arange(x.numel()).reshape(x.shape)[..., :] % 256
    seen = InputSamples()
    seen.add(columns, "")
    assert seen.joined().unique().numel() == 256


def test_non_finite_values():
    with pytest.raises(NonFiniteActivationError, match=r"^a\.b: 1 of 2"):
        InputSamples().add(torch.tensor([1.0, float("nan")]), "a.b")
