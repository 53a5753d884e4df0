"""Each fusion by itself: what it makes of two operations, and that the numbers stay."""

import pytest
import torch
from torch.nn import functional as F

from lbwdet.deploy.lower.fusions import FUSIONS
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.lookup import Lookup

BY_NAME = {fusion.name: fusion for fusion in FUSIONS}


def kinds(part):
    return [type(operation).__name__ for operation in part.operations]


def pyramid(n, x):
    x = n.stem(x)
    small = n.b(F.max_pool2d(x, 2))
    return n.a(x) + F.interpolate(small, size=x.shape[2:])


# By fusion: a computation, its operations without any, and with this one alone.
CASES = {
    "norm": (
        lambda n, x: n.norm(n.a(n.stem(x))),
        ["Conv", "Conv", "Affine"],
        ["Conv", "Conv"],
    ),
    "norms": (
        lambda n, x: n.norm(n.stem(x)) * 3 - 1,
        ["Conv", *["Affine"] * 3],
        ["Conv", "Affine"],
    ),
    "residual": (
        lambda n, x: n.a(n.stem(x)) + n.stem(x),
        ["Conv", "Conv", "Conv", "Add"],
        ["Conv", "Conv", "Conv"],
    ),
    "upsampled residual": (
        pyramid,
        ["Conv", "MaxPool", "Conv", "Conv", "Upsample", "Add"],
        ["Conv", "MaxPool", "Conv", "Conv"],
    ),
    "sums": (
        lambda n, x: (x + x * 2) + x,
        ["Affine", "Add", "Add"],
        ["Affine", "Add"],
    ),
    "relu": (lambda n, x: n.stem(x).relu(), ["Conv", "Lookup"], ["Conv"]),
    "relu of blocks": (
        lambda n, x: F.conv_transpose2d(
            x, n.stem.weight.transpose(0, 1)[..., :2, :2], stride=2
        ).relu(),
        ["Conv", "DepthToSpace", "Lookup"],
        ["Conv", "DepthToSpace"],
    ),
    "slices": (
        lambda n, x: x[:, 1:][:, 1:, 1:, ::2][..., 1:, 1::2],
        ["Slice"] * 6,
        ["Slice"],
    ),
    "function": (lambda n, x: F.silu(n.stem(x)), ["Conv", "Lookup"], ["Conv"]),
    "functions": (lambda n, x: x.relu().relu(), ["Lookup", "Lookup"], ["Lookup"]),
}


def test_every_fusion_has_a_case():
    assert set(CASES) == set(BY_NAME)


@pytest.mark.parametrize("name", CASES)
def test_one_operation_of_two(lowering, name):
    compute, apart, together = CASES[name]
    assert kinds(lowering.check(compute, fusions=())) == apart
    assert kinds(lowering.check(compute, fusions=[BY_NAME[name]])) == together
    assert len(lowering.check(compute).operations) <= len(together)


def test_a_convolution_takes_all_that_follows_it(lowering):
    part = lowering.check(lambda n, x: n.norm(n.a(n.stem(x))).relu())
    _, a = part.operations
    assert a == Conv("a", "stem", "a", (3, 3), padding=(1, 1), relu=True)
    assert part.outputs == ("a",)
    assert set(part.layers["stem"].gain) == {1.0}
    gain = (
        lowering.net.norm.weight.double() / (lowering.net.norm.running_var.double() + 1e-5).sqrt()
    )
    torch.testing.assert_close(torch.tensor(part.layers["a"].gain, dtype=gain.dtype), gain.detach())


def test_of_two_convolutions_the_first_takes_the_other_which_comes_before_it(lowering):
    def block(n, x):
        x = n.stem(x)
        return F.relu(n.a(x) + n.norm(n.b(x)))

    _, b, a = lowering.check(block).operations
    assert (b.layer, b.relu, a.layer, a.residual, a.relu) == ("b", False, "a", "b", True)
    assert a.input == b.input == "stem"


def test_a_function_comes_before_the_residual_and_no_relu_behind_it(lowering):
    def block(n, x, last=lambda y: y):
        x = n.stem(x)
        return last(F.silu(n.a(x)) + x)

    _, a = lowering.check(block).operations
    assert (a.layer, a.function, a.residual) == ("a", "silu", "stem")
    *_, add = lowering.check(lambda n, x: block(n, x, F.relu)).operations
    assert (type(add).__name__, add.relu) == ("Add", True)


def test_residual_from_a_pool_and_one_layer_used_twice(lowering):
    def net(n, x):
        x = F.max_pool2d(n.stem(x), 3, 1, 1)
        y = n.a(x) + x
        return n.b(y), n.b(x)

    part = lowering.check(net)
    _, pool, a, b0, b1 = part.operations
    assert a.residual == pool.output == "max_pool2d"
    assert (b0.output, b1.output) == part.outputs == ("b:0", "b:1")
    assert (b0.input, b1.input) == ("a", pool.output)
    assert set(part.layers) == {"stem", "a", "b"}


def test_upsampling_belongs_to_the_addition(lowering):
    a = lowering.check(pyramid).operations[-1]
    assert a.residual == "b" and a.upsample


def test_what_somebody_else_reads_stays(lowering):
    def compute(n, x):
        y = n.stem(x)
        return y.relu(), n.norm(y), y

    assert kinds(lowering.check(compute)) == ["Conv", "Lookup", "Affine"]

    def read_before_upsampled(n, x):
        y = n.a(n.stem(x))
        return y + F.interpolate(F.max_pool2d(n.stem(x), 2), scale_factor=2), n.b(y)

    assert "Upsample" in kinds(lowering.check(read_before_upsampled))


def test_nothing_is_added_or_normed_behind_a_relu(lowering):
    _, add = lowering.check(
        lambda n, x: n.stem(x).relu() + n.stem(x).relu(), fusions=FUSIONS
    ).operations[-2:]
    assert type(add).__name__ == "Add"
    *_, norm = lowering.check(lambda n, x: n.norm(n.stem(x).relu())).operations
    assert isinstance(norm, Affine)
    *_, second = lowering.check(
        lambda n, x: n.other(n.norm(F.max_pool2d(n.stem(x), 2)).relu())
    ).operations
    assert isinstance(second, Affine)


def test_relu_after_relu_is_one(lowering):
    assert kinds(lowering.check(lambda n, x: n.stem(x).relu().relu())) == ["Conv"]


def test_three_maps_are_one_sum(lowering):
    def compute(n, x):
        x = F.silu(n.stem(x))
        return (F.silu(n.a(x)) + x) + F.silu(n.b(x))

    add = lowering.check(compute, fusions=[BY_NAME["function"], BY_NAME["sums"]]).operations[-1]
    assert len(add.inputs) == 3


def test_one_layer_under_two_norms_is_two_layers(lowering):
    def compute(n, x):
        x = n.stem(x)
        return n.norm(n.a(x)), n.other(n.a(x)), n.other(n.a(x))

    part = lowering.check(compute)
    assert [op.layer for op in part.operations] == ["stem", "a:0", "a:1", "a:1"]
    assert part.outputs == ("a:0", "a:1", "a:2")
    assert {layer.module for layer in part.layers.values()} == {"stem", "a"}


def test_functions_one_after_the_other(lowering):
    pooled = lowering.check(lambda n, x: F.silu(F.max_pool2d(n.stem(x), 2)).sigmoid())
    operations = pooled.operations
    assert [op.function for op in operations if isinstance(op, Lookup)] == ["silu", "sigmoid"]


@pytest.mark.parametrize("factor", [2.5, -2.5])
def test_a_positive_factor_is_the_same_before_a_relu(lowering, factor):
    behind = ["Affine"] if factor < 0 else []
    assert kinds(lowering.check(lambda n, x: n.stem(x).relu() * factor)) == ["Conv", *behind]
    assert kinds(lowering.check(lambda n, x: (x + 1).relu() * factor)) == ["Affine", *behind]


def test_a_map_that_is_added_to_itself_counts_twice(lowering):
    def layer(n, x):
        y = n.stem(x)
        return y + y

    def of_a_sum(n, x):
        y = n.stem(x)
        z = F.max_pool2d(y, 3, 1, 1) + y
        return z + z

    def upsampled(n, x):
        y = F.interpolate(n.stem(x), scale_factor=2)
        return y + y

    for compute in (layer, of_a_sum, upsampled):
        assert "Add" in kinds(lowering.check(compute))
