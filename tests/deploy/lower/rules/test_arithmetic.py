import pytest
import torch
from torch.nn.functional import max_pool2d

from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.maximum import Maximum
from lbwdet.deploy.runtime.operations.multiply import Multiply
from lbwdet.errors import ConfigError

PER_CHANNEL = torch.tensor([0.5, -1.0, 2.0]).view(1, 3, 1, 1)


def test_sums_of_maps(lowering):
    part = lowering.check(lambda n, x: n.a(n.stem(x)) + n.b(n.stem(x)), fusions=())
    assert isinstance(part.operations[-1], Add)
    (twice,) = lowering.check(lambda n, x: x + x).operations
    assert twice.inputs == ("input", "input")
    with pytest.raises(ConfigError, match=r"add of maps of \(3, 16, 16\) and \(3, 1, 16\)"):
        lowering.part(lambda n, x: x + max_pool2d(x, (16, 1)))
    with pytest.raises(ConfigError, match=r"add \(alpha=2\)"):
        lowering.part(lambda n, x: torch.add(n.a(n.stem(x)), n.b(n.stem(x)), alpha=2))


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x + 1,
        lambda x: x.sub(0.5),
        lambda x: torch.add(x, PER_CHANNEL, alpha=3),
        lambda x: torch.add(PER_CHANNEL, x, alpha=3),
        lambda x: x * PER_CHANNEL,
        lambda x: PER_CHANNEL[0] * x,
        lambda x: x / 255,
        lambda x: x - PER_CHANNEL,
        lambda x: 1 - x,
        lambda x: x * torch.tensor(3.0),
    ],
)
def test_constants_are_factors_and_offsets(lowering, compute):
    (operation,) = lowering.check(lambda n, x: compute(x)).operations
    assert isinstance(operation, Affine)


def test_what_changes_nothing_is_no_operation(lowering):
    part = lowering.check(lambda n, x: (0 + x) * 1 / 1)
    assert part.operations == () and part.outputs == ("input",)


@pytest.mark.parametrize(
    ("compute", "function"),
    [
        (lambda x: x * x.sigmoid(), "silu"),
        (lambda x: x.sigmoid() * x, "silu"),
        (lambda x: x * torch.nn.functional.hardsigmoid(x), "hard_swish"),
    ],
)
def test_a_map_and_its_gate(lowering, compute, function):
    (operation,) = lowering.check(lambda n, x: compute(x)).operations
    assert isinstance(operation, Lookup) and operation.function == function


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x * x,
        lambda x: x * x.mean((2, 3), keepdim=True),
        lambda x: x[:, :1] * x,
        lambda x: x.sigmoid().mean((-1, -2), keepdim=True) * x,
        lambda x: x.flatten(1) * x.tanh().flatten(1),
    ],
)
def test_products_of_maps(lowering, compute):
    part = lowering.check(lambda n, x: compute(x))
    assert isinstance(part.operations[-1], Multiply)
    assert part.operations[-1].input == "input"


@pytest.mark.parametrize("compute", [torch.max, torch.maximum])
def test_the_larger_of_two_maps(lowering, compute):
    part = lowering.check(lambda n, x: compute(x, x.tanh() * 2))
    assert isinstance(part.operations[-1], Maximum)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: x * max_pool2d(x, (16, 1)), r"mul of maps of \(3, 16, 16\) and \(3, 1, 16\)"),
        (lambda x: x * torch.ones(16, 16), r"mul with a constant of shape \[16, 16\]"),
        (lambda x: x / x.relu(), "div by a map"),
        (lambda x: x / 0, "div by zero"),
        (lambda x: x - x.relu(), "sub of two maps"),
        (lambda x: torch.max(x, x[:, :1]), r"max of maps of \(3, 16, 16\) and \(1, 16, 16\)"),
        (lambda x: torch.max(x, 1, keepdim=True)[0], "max of one map"),
    ],
)
def test_what_has_no_operation_is_named(lowering, compute, message):
    with pytest.raises(ConfigError, match=f"the model cannot be lowered: {message}"):
        lowering.part(lambda n, x: compute(x))
