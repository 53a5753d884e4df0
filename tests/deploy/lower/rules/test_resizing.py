import pytest
import torch
from torch.nn import functional as F

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


def test_to_a_size_that_nobody_has(lowering):
    up = lowering.check(lambda n, x: F.interpolate(x, size=(32, 16))).operations[-1]
    assert up.factor == (2, 1)
    with pytest.raises(ConfigError, match=r"from \[16, 16\] to \[24, 24\], which is no whole"):
        lowering.part(lambda n, x: F.interpolate(x, size=(24, 24)))
