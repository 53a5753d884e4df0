import pytest
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.errors import ConfigError


def test_max_pooling(lowering):
    (pool,) = lowering.check(lambda n, x: F.max_pool2d(x, (3, 2), 1, 1)).operations
    assert pool == MaxPool("input", "max_pool2d", (3, 2), (1, 1), (1, 1))
    (subsampled,) = lowering.check(lambda n, x: F.max_pool2d(x, 2)).operations
    assert subsampled.stride == (2, 2)


@pytest.mark.parametrize("setting", [dict(ceil_mode=True), dict(dilation=2)])
def test_what_it_does_not_do(lowering, setting):
    with pytest.raises(ConfigError, match="max_pool2d with ceil_mode or dilation"):
        lowering.part(lambda n, x: F.max_pool2d(x, 3, 2, **setting))
