"""Clamps that the integers of a value make by themselves."""

import numpy as np
import pytest

from lbwdet.deploy.calibration.clamps import without_clamps
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization

SIGNED = Quantization(0.1, 100)
CONV = Conv("layer", "x", "a", (1, 1))
RELU6 = Lookup("a", "b", "clamp", (0.0, 6.0))


def made(operations, **quantizations):
    return without_clamps(Program(tuple(operations), {"x": SIGNED, **quantizations}))


@pytest.mark.parametrize(
    ("stored", "maximum"),
    [
        (Quantization(6 / 255), 255),
        (Quantization(0.01), 255),  # ends at 2.55 anyway
        (Quantization(0.05), 120),
        (Quantization(0.7, 0, 15), 9),
        (Quantization(0.7, 0, 15, "ceil"), 9),
        (Quantization(1.7, 0, 15), 4),
        (Quantization(1.7, 0, 15, "ceil"), 4),
        (Quantization(0.05, 30), 150),
    ],
)
def test_a_relu6_is_a_relu_whose_integers_end_there(stored, maximum):
    found = made([CONV, RELU6], a=SIGNED, b=stored)
    (conv,) = found.operations
    assert (conv.relu, conv.output, conv.layer) == (True, "b", "layer")
    assert found.quantizations["b"].maximum == maximum
    assert set(found.quantizations) == {"x", "b"}


def test_sums_and_factors_end_too_and_what_passes_integers_on_follows():
    operations = [
        Affine("x", "a", (1.0,), (0.0,)),
        RELU6,
        MaxPool("b", "c", (2, 2), (2, 2), (0, 0)),
        Add(("c", "x"), "d"),
        Lookup("d", "e", "clamp", (0.0, 1.0)),
    ]
    half = Quantization(0.5)
    found = made(operations, a=SIGNED, b=half, c=half, d=SIGNED, e=Quantization(0.25))
    assert [type(each) for each in found.operations] == [Affine, MaxPool, Add]
    assert found.operations[0].relu and found.operations[2].relu
    assert found.operations[2].inputs == ("c", "x")
    assert [found.quantizations[name].maximum for name in "bce"] == [12, 12, 4]


@pytest.mark.parametrize(
    "operations",
    [
        [CONV, Lookup("a", "b", "clamp", (-1.0, 6.0))],
        [CONV, Lookup("a", "b", "tanh")],
        [CONV, RELU6, Add(("a", "b"), "c")],  # read without the clamp, too
        [Conv("layer", "x", "a", (1, 1), function="silu"), RELU6],
        [MaxPool("x", "a", (1, 1), (1, 1), (0, 0)), RELU6],
    ],
)
def test_what_stays_as_it_is(operations):
    found = made(operations, a=SIGNED, b=Quantization(0.5), c=SIGNED)
    assert found.operations == tuple(operations)


@pytest.mark.parametrize("stored", [Quantization(50.0), Quantization(0.5, exponents=(0, 1))])
def test_an_end_that_one_integer_cannot_be(stored):
    """Below a step, or another one in each channel."""
    assert len(made([CONV, RELU6], a=SIGNED, b=stored).operations) == 2


def test_the_integers_are_those_of_the_clamped_reals():
    """Of all reals that a convolution may give, but for what is rounded twice no more."""
    stored = Quantization(0.0371)
    end = made([CONV, RELU6], a=SIGNED, b=stored).quantizations["b"].maximum
    reals = np.linspace(-1, 9, 2001)
    expected = np.clip(np.rint(np.clip(reals, 0, 6) / stored.scale), 0, 255)
    assert np.array_equal(np.clip(np.rint(reals / stored.scale), 0, end), expected)
