import pytest
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations.average_pool import AveragePool
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.errors import ConfigError


def test_max_pooling(lowering):
    (pool,) = lowering.check(lambda n, x: F.max_pool2d(x, (3, 2), 1, 1)).operations
    assert pool == MaxPool("input", "max_pool2d", (3, 2), (1, 1), (1, 1))
    (subsampled,) = lowering.check(lambda n, x: F.max_pool2d(x, 2)).operations
    assert subsampled.stride == (2, 2)


@pytest.mark.parametrize("setting", [dict(ceil_mode=True), dict(dilation=2)])
def test_what_max_pooling_does_not_do(lowering, setting):
    with pytest.raises(ConfigError, match="max_pool2d with ceil_mode or dilation"):
        lowering.part(lambda n, x: F.max_pool2d(x, 3, 2, **setting))


@pytest.mark.parametrize("count_padding", [False, True])
def test_average_pooling(lowering, count_padding):
    (pool,) = lowering.check(
        lambda n, x: F.avg_pool2d(x, (3, 2), 1, 1, count_include_pad=count_padding)
    ).operations
    assert pool == AveragePool("input", "avg_pool2d", (3, 2), (1, 1), (1, 1), count_padding)


def test_average_pooling_by_its_defaults(lowering):
    (pool,) = lowering.check(lambda n, x: F.avg_pool2d(x, 2)).operations
    assert pool.stride == (2, 2) and pool.count_padding


@pytest.mark.parametrize("setting", [dict(ceil_mode=True), dict(divisor_override=3)])
def test_what_average_pooling_does_not_do(lowering, setting):
    with pytest.raises(ConfigError, match="avg_pool2d with ceil_mode or divisor_override"):
        lowering.part(lambda n, x: F.avg_pool2d(x, 3, 2, **setting))
