import pytest
import torch

from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.errors import ConfigError


def test_along_the_channels(lowering):
    part = lowering.check(lambda n, x: torch.cat([n.a(n.stem(x)), n.b(n.stem(x))], dim=-3))
    assert isinstance(part.operations[-1], Concat)
    vectors = lowering.check(lambda n, x: torch.cat([n.fc(n.stem(x).flatten(1))] * 2, 1))
    assert vectors.operations[-1].inputs == ("fc", "fc")


def test_a_single_map_is_itself(lowering):
    part = lowering.check(lambda n, x: torch.cat([n.stem(x)], 0))
    assert not any(isinstance(operation, Concat) for operation in part.operations)


def test_what_is_no_joining_of_channels(lowering):
    with pytest.raises(ConfigError, match="cat along axis 2"):
        lowering.part(lambda n, x: torch.cat([x, x], 2))
    with pytest.raises(ConfigError, match="cat of flattened maps"):
        lowering.part(lambda n, x: torch.cat([x.flatten(1), x.flatten(1)], 1))
    with pytest.raises(ConfigError, match="cat of numbers that do not depend on the image"):
        lowering.part(lambda n, x: torch.cat([x, torch.ones(2, 1, 16, 16)], 1))
