import torch

from lbwdet.deploy.lower.mixing import Mixing, as_single_call, mix


def test_one_operator_does_the_same():
    torch.manual_seed(0)
    maps = [torch.randn(1, channels, 4, 5) for channels in (1, 2)]
    mixing = Mixing([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5]], exponential=[2])
    expected = torch.stack([maps[0][0, 0] + 2 * maps[1][0, 0]])
    found = mixing(*maps)
    torch.testing.assert_close(found[0, :1], expected)
    torch.testing.assert_close(found[0, 1], 0.5 * maps[1][0, 1].exp() - maps[1][0, 0])
    assert torch.equal(as_single_call(mixing, *maps), found)


def test_channels_have_limits():
    x = torch.tensor([-3.0, 0.5]).reshape(1, 2, 1, 1)
    found = mix([x], [1.0, 1.0, 0.0, 2.0], [0.0, 0.0], [], [2.0, 0.25])
    assert found.flatten().tolist() == [-1.75, 0.5]
