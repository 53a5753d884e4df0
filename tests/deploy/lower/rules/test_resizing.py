import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations.resize import Resize
from lbwdet.deploy.runtime.operations.upsample import Upsample
from lbwdet.errors import ConfigError


def test_by_a_factor(lowering):
    up = lowering.check(lambda n, x: F.interpolate(x, scale_factor=(2, 3))).operations[-1]
    assert up == Upsample("input", "upsample_nearest2d", (2, 3))


@pytest.mark.parametrize("join", [torch.add, lambda a, b: torch.cat([b, a], 1)])
def test_to_the_size_of_what_it_meets(lowering, join):
    def compute(n, x):
        x = n.stem(x)
        return join(F.relu(x), F.interpolate(F.max_pool2d(x, 3, 3), size=x.shape[2:]))

    part = lowering.check(compute, fusions=())
    (up,) = (op for op in part.operations if isinstance(op, Upsample))
    assert up.like == "relu" and up.factor == (1, 1)


def test_one_pixel_for_all_of_another_map(lowering):
    def compute(n, x):
        x = n.stem(x)
        mean = F.adaptive_avg_pool2d(x, 1)
        return torch.cat([x.expand_as(x), mean.expand_as(x)], 1)

    (up,) = (op for op in lowering.check(compute).operations if isinstance(op, Upsample))
    assert up.like == lowering.check(compute).operations[0].written
    with pytest.raises(ConfigError, match=r"expand_as from \[16, 1\] to \[16, 16\]"):
        lowering.part(lambda n, x: F.max_pool2d(x, (1, 16)).expand_as(x))


def test_to_a_size_that_nobody_has(lowering):
    up = lowering.check(lambda n, x: F.interpolate(x, size=(32, 16))).operations[-1]
    assert up.factor == (2, 1)
    with pytest.raises(ConfigError, match=r"from \[16, 16\] to \[24, 24\], which is no whole"):
        lowering.part(lambda n, x: F.interpolate(x, size=(24, 24)))


def test_to_the_size_of_a_map_that_several_read(lowering):
    """Which is none that a fusion would have taken away."""

    def compute(n, x):
        x = F.relu(n.stem(x))
        return n.a(x) + n.b(n.b(F.interpolate(F.max_pool2d(x, 3, 3), size=(8, 8))))

    part = lowering.check(compute)
    (up,) = (op for op in part.operations if isinstance(op, Upsample))
    assert up.like == "stem" and len(part.operations) == 6


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(
    ("size", "factor", "divisor"),
    [(dict(scale_factor=(2, 4)), (2, 4), (1, 1)), (dict(size=(8, 32)), (1, 2), (2, 1))],
)
def test_bilinear(lowering, align, size, factor, divisor):
    (resize,) = lowering.check(
        lambda n, x: F.interpolate(x, **size, mode="bilinear", align_corners=align)
    ).operations
    assert resize == Resize("input", resize.output, factor, divisor, align_corners=align)


def test_bilinear_to_the_size_of_what_it_meets(lowering):
    def compute(n, x):
        return x + F.interpolate(F.max_pool2d(x, 3, 3), size=x.shape[2:], mode="bilinear")

    resize = lowering.check(compute).operations[1]
    assert resize.like == "input"


def test_nearest_neighbours_of_a_larger_map(lowering):
    with pytest.raises(ConfigError, match=r"from \[16, 16\] to \[8, 8\], which is smaller"):
        lowering.part(lambda n, x: F.interpolate(x, size=(8, 8)))
