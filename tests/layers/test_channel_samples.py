import pytest
import torch

from lbwdet.layers.channel_samples import ChannelSamples
from lbwdet.quantizers import NonFiniteActivationError


def test_extremes_of_each_channel_are_among_the_samples():
    x = torch.randn(2, 5, 40, 40)
    samples = ChannelSamples(axis=-3)
    samples.add(x, "layer")
    samples.add(x[0] * 2, "layer")  # without a batch axis
    joined = samples.joined()
    assert joined.shape[1] == 5 and 100 < len(joined) < 2000
    for extreme in (torch.amax, torch.amin):
        assert torch.equal(
            extreme(joined, 0), extreme(torch.cat([x, 2 * x[:1]]).movedim(1, 3).reshape(-1, 5), 0)
        )


def test_nothing_and_nan():
    samples = ChannelSamples(axis=-3)
    samples.add(torch.zeros(0, 5, 3, 3), "layer")
    assert not samples.values
    with pytest.raises(NonFiniteActivationError, match=r"neck\.conv"):
        samples.add(torch.full((1, 5, 2, 2), torch.nan), "neck.conv")
