import pytest
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.deploy.runtime.operations.global_average_pool import GlobalAveragePool
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.errors import ConfigError


def test_max_pooling(lowering):
    (pool,) = lowering.check(lambda n, x: F.max_pool2d(x, (3, 2), 1, 1)).operations
    assert pool == MaxPool("input", "max_pool2d", (3, 2), (1, 1), (1, 1))
    (subsampled,) = lowering.check(lambda n, x: F.max_pool2d(x, 2)).operations
    assert subsampled.stride == (2, 2)


def test_sizes_rounded_up(lowering):
    """Of 16 pixels, windows of 3 in steps of 2 and 3."""
    (pool,) = lowering.check(lambda n, x: F.max_pool2d(x, 3, (2, 3), ceil_mode=True)).operations
    assert pool.ceil
    for settings in (dict(padding=1), dict(padding=1, count_include_pad=False), {}):
        (pool,) = lowering.check(
            lambda n, x, settings=settings: F.avg_pool2d(x, 3, 2, ceil_mode=True, **settings)
        ).operations
        assert pool.ceil and pool.count_padding == (len(settings) == 1)
    (pool,) = lowering.check(lambda n, x: F.avg_pool2d(x, 2, 1, ceil_mode=True)).operations
    assert not pool.ceil


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: F.max_pool2d(x, 3, 2, dilation=2), "max_pool2d with dilation"),
        (lambda x: F.max_pool2d(x, 2, 3, ceil_mode=True), "max_pool2d with ceil_mode, windows of"),
        (lambda x: F.avg_pool2d(x, 2, 2, 1, ceil_mode=True), "avg_pool2d with ceil_mode, windows"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=3), "avg_pool2d with divisor_override"),
    ],
)
def test_what_pooling_does_not_do(lowering, compute, message):
    with pytest.raises(ConfigError, match=message):
        lowering.part(lambda n, x: compute(x))


@pytest.mark.parametrize("count_padding", [False, True])
def test_average_pooling(lowering, count_padding):
    (pool,) = lowering.check(
        lambda n, x: F.avg_pool2d(x, (3, 2), 1, 1, count_include_pad=count_padding)
    ).operations
    assert pool == AveragePool("input", "avg_pool2d", (3, 2), (1, 1), (1, 1), count_padding)


def test_average_pooling_by_its_defaults(lowering):
    (pool,) = lowering.check(lambda n, x: F.avg_pool2d(x, 2)).operations
    assert pool.stride == (2, 2) and not pool.count_padding  # without any there is none to count
    assert lowering.check(lambda n, x: F.avg_pool2d(x, 1)).operations == ()


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: F.adaptive_avg_pool2d(x, 1),
        lambda x: x.mean((2, 3), keepdim=True),
        lambda x: x.mean((-1, -2)),
    ],
)
def test_averages_of_whole_maps(lowering, compute):
    part = lowering.check(lambda n, x: compute(x))
    assert part.operations == (GlobalAveragePool("input", part.outputs[0].lstrip(":")),)


def test_a_share_of_the_map_for_each_pixel(lowering):
    (pool,) = lowering.check(lambda n, x: F.adaptive_avg_pool2d(x, (4, 8))).operations
    assert pool == AveragePool("input", pool.output, (4, 2), (4, 2))
    (pool,) = lowering.check(lambda n, x: F.adaptive_max_pool2d(x, (4, 8))).operations
    assert pool == MaxPool("input", pool.output, (4, 2), (4, 2))
    for same in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
        assert lowering.check(lambda n, x, same=same: same(x, 16)).operations == ()


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: F.adaptive_avg_pool2d(x, 5), r"adaptive_avg_pool2d from \[16, 16\] to \[5, 5\]"),
        (lambda x: F.adaptive_max_pool2d(x, (4, 3)), r"adaptive_max_pool2d from \[16, 16\]"),
        (lambda x: x.mean(1, keepdim=True), r"mean over the axes \[1\] of a tensor"),
        (lambda x: x.mean((2,), keepdim=True), r"mean over the axes \[2\]"),
    ],
)
def test_what_is_no_average_of_pixels(lowering, compute, message):
    with pytest.raises(ConfigError, match=message):
        lowering.part(lambda n, x: compute(x))
