import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.errors import ConfigError


@pytest.mark.parametrize(
    ("compute", "function", "parameters"),
    [
        (torch.relu, "relu", ()),
        (torch.sigmoid, "sigmoid", ()),
        (torch.exp, "exp", ()),
        (F.silu, "silu", ()),
        (torch.tanh, "tanh", ()),
        (F.mish, "mish", ()),
        (F.hardsigmoid, "hard_sigmoid", ()),
        (F.hardswish, "hard_swish", ()),
        (F.relu6, "clamp", (0.0, 6.0)),
        (F.hardtanh, "clamp", (-1.0, 1.0)),
        (lambda x: x.clamp(-0.5, 0.25), "clamp", (-0.5, 0.25)),
        (lambda x: x.clamp(max=0.25), "clamp", (-1e6, 0.25)),
        (lambda x: x.clamp(min=0), "relu", ()),
        (lambda x: x.clamp_min(0.5), "clamp", (0.5, 1e6)),
        (lambda x: F.leaky_relu(x, 0.125), "leaky_relu", (0.125,)),
        (F.elu, "elu", (1.0,)),
        (F.gelu, "gelu", ()),
        (lambda x: F.gelu(x, approximate="tanh"), "gelu_tanh", ()),
    ],
)
def test_functions_are_those_of_pytorch(lowering, compute, function, parameters):
    (operation,) = lowering.check(lambda n, x: compute(x)).operations
    assert isinstance(operation, Lookup)
    assert (operation.function, operation.parameters) == (function, parameters)


def test_in_place_is_the_same(lowering):
    def compute(n, x):
        y = n.stem(x)
        F.silu(y, inplace=True)
        return y

    silu = lowering.check(compute).operations[-1]
    assert silu.function == "silu"


def test_variants_without_a_table_are_named(lowering):
    with pytest.raises(ConfigError, match="elu with a scale"):
        lowering.part(lambda n, x: torch.ops.aten.elu(x, 1.0, 2.0))
    with pytest.raises(ConfigError, match=r"there is no rule for log; there are rules for .*add, "):
        lowering.part(lambda n, x: x.log())
