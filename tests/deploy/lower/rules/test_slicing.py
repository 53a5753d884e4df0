import pytest
import torch

from lbwdet.deploy.runtime.operations.slice import Slice
from lbwdet.errors import ConfigError


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda x: x[:, 1:], dict(channels=(1, 2))),
        (lambda x: x[:, -2:-1], dict(channels=(1, 1))),
        (lambda x: x[:, :, 3:], dict(start=(3, 0))),
        (lambda x: x[..., 1::2], dict(start=(0, 1), step=(1, 2))),
        (lambda x: x.split(2, 1)[1], dict(channels=(2, 1))),
        (lambda x: x.chunk(2, 1)[0], dict(channels=(0, 2))),
        (lambda x: x.split([1, 2], 1)[1], dict(channels=(1, 2))),
    ],
)
def test_some_of_a_map(lowering, compute, expected):
    (operation,) = lowering.check(lambda n, x: compute(x)).operations
    assert operation == Slice("input", operation.output, **expected)


def test_space_to_depth(lowering):
    def focus(n, x):
        parts = [x[..., y::2, z::2] for z in (0, 1) for y in (0, 1)]
        return torch.cat(parts, 1)

    part = lowering.check(focus)
    assert [type(op).__name__ for op in part.operations] == ["Slice"] * 4 + ["Concat"]
    assert {op.start for op in part.operations[:4]} == {(0, 0), (1, 0), (0, 1), (1, 1)}


def test_all_parts_of_a_split(lowering):
    part = lowering.check(lambda n, x: x.chunk(3, 1)[::-1])
    assert [op.channels for op in part.operations] == [(0, 1), (1, 1), (2, 1)]
    assert part.outputs == tuple(op.output for op in part.operations[::-1])


def test_channels_of_a_convolution_are_a_convolution(lowering):
    def compute(net, x):
        made = net.stem(x)
        return made.index_select(1, torch.tensor([3, 0])), made[:, 1:2]

    part = lowering.check(compute)
    assert [type(op).__name__ for op in part.operations] == ["Conv", "Conv", "Slice"]
    assert [layer.outputs for layer in part.layers.values()] == [(), (3, 0)]


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: x[:1], r"slice along axis 0 of a tensor of shape \[2, 3, 16, 16\]"),
        (lambda x: x[:, ::2], "slice of every 2th channel"),
        (lambda x: x[:, :, :-1], "slice up to a row or column before the last"),
        (lambda x: x[:, :, -3:], "slice up to a row or column before the last"),
        (lambda x: x.index_select(1, torch.tensor([0])), "index_select of anything but the chan"),
        (lambda x: x.chunk(2, 2)[0], "(split|chunk) along axis 2"),
    ],
)
def test_what_depends_on_the_size_of_the_image(lowering, compute, message):
    with pytest.raises(ConfigError, match=message):
        lowering.part(lambda n, x: compute(x))
