import torch

from lbwdet.posttraining.moments import moments


def test_sums_over_parts_are_sums_over_all():
    x, change = torch.randn(2, 3, 50), 0.1 * torch.randn(2, 3, 50)
    whole = moments(x, x + change)
    parts = moments(x[..., :20], (x + change)[..., :20]) + moments(
        x[..., 20:], (x + change)[..., 20:]
    )
    assert parts.count == whole.count == 50
    assert torch.allclose(parts.second, whole.second) and torch.allclose(parts.cross, whole.cross)
    wanted = torch.einsum("gip,gjp->gij", change, x).double()
    assert torch.allclose(whole.cross, wanted, atol=1e-4)


def test_centered_moments_are_those_of_centered_columns():
    x, change = torch.randn(1, 4, 80) + 3, 0.1 * torch.randn(1, 4, 80) + 1
    centered = moments(x, x + change).centered()
    mean, drift = x.mean(-1, keepdim=True), change.mean(-1, keepdim=True)
    alone = moments(x - mean, x - mean + change - drift)
    assert torch.allclose(centered.second, alone.second, atol=1e-3)
    assert torch.allclose(centered.cross, alone.cross, atol=1e-3)


def test_inputs_of_other_things_are_not_compared():
    x = torch.randn(1, 3, 100)
    assert moments(x).comparable
    assert moments(x, 1.1 * x).comparable
    assert not moments(x, torch.randn(1, 3, 100)).comparable
    assert not moments(x, torch.randn(1, 3, 90)).comparable
    assert not moments(x, torch.randn(1, 3, 90)).cross.any()
