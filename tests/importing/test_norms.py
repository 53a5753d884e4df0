import pytest
import torch
from mmcv.cnn import ConvModule
from torch import nn

from lbwdet.importing.norms import (
    normalized_convs,
    put_folded_,
    scale_to_unit_variance_,
    unfold_,
)

NORM = dict(type="BN", eps=0.001)


@pytest.fixture
def net() -> nn.Module:
    """In float64, so that what is the same function is so to the last digits."""
    first = ConvModule(3, 6, 3, norm_cfg=NORM)
    second = ConvModule(6, 6, 3, groups=6, norm_cfg=NORM)
    return nn.Sequential(first, second, nn.Conv2d(6, 2, 1)).double().eval()


@pytest.fixture
def folded(net) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    shapes = {"0": (6, 3, 3, 3), "1": (6, 1, 3, 3), "2": (2, 6, 1, 1)}
    scales = torch.logspace(-2, 1, 6).double()  # channels three decades apart
    made = {name: torch.randn(shape, dtype=torch.double) for name, shape in shapes.items()}
    made["0"] *= scales[:, None, None, None]
    return {name: (w, torch.randn(len(w), dtype=torch.double)) for name, w in made.items()}


def by_hand(folded, x):
    for name, groups in (("0", 1), ("1", 6)):
        x = nn.functional.conv2d(x, *folded[name], groups=groups).relu()
    return nn.functional.conv2d(x, *folded["2"])


def test_unfolding_changes_statistics_and_not_the_function(net, folded):
    images = [torch.rand(1, 3, 12, 12, dtype=torch.double) for _ in range(4)]
    other = torch.rand(2, 3, 9, 9, dtype=torch.double)
    put_folded_(net, folded)
    torch.testing.assert_close(net(other), by_hand(folded, other))
    unfold_(net, [lambda x=x: net(x) for x in images])
    torch.testing.assert_close(net(other), by_hand(folded, other))
    variances = net[0].norm.running_var
    assert variances.max() / variances.min() > 100
    scale_to_unit_variance_(net)
    torch.testing.assert_close(net(other), by_hand(folded, other))
    for conv in normalized_convs(net).values():
        assert torch.allclose(conv.norm.running_var, torch.tensor(0.999).double())
    # On all of the measured images at once, training mode is evaluation mode but for eps.
    whole = torch.cat(images)
    evaluated = net(whole).detach()
    trained = net.train()(whole).detach()
    assert (trained - evaluated).abs().max() < 0.01 * evaluated.std()


def test_a_channel_that_never_varies_stays_what_it_is(net, folded):
    folded["0"][0][2] = 0
    put_folded_(net, folded)
    x = torch.rand(2, 3, 9, 9, dtype=torch.double)
    unfold_(net, [lambda: net(x)])
    scale_to_unit_variance_(net)
    torch.testing.assert_close(net(x), by_hand(folded, x))
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())
