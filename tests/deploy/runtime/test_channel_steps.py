"""Channels with steps of their own: what every operation that lets them through makes of them.

Integers stand for reals. So whatever exponents the values of an operation have, either validation
refuses them, or the result is that of the reals.
"""

from dataclasses import replace

import numpy as np
import pytest

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.declaration import markers
from lbwdet.deploy.runtime.operations import every_operation
from lbwdet.errors import ArtifactError

CASES = 24
REALS = ("AdaptiveMaxPool", "Coordinates", "SineEncoding")  # whose output is no such map
KINDS = {
    name: kind
    for name, kind in every_operation().items()
    if kind.__module__.startswith("lbwdet.deploy.runtime.operations.")
    and any(getattr(mark, "steps", False) for found in markers(kind).values() for mark in found)
}


def with_exponents(example, name, random):
    """The example, one value of which has other exponents."""
    shape = example.values[name].shape if name in example.values else compute_alone(example).shape
    quantization = example.quantizations[name]
    other = random_cases.exponents(random, shape[-1]) if not quantization.exponents else ()
    changed = replace(quantization, exponents=other)
    return replace(example, quantizations={**example.quantizations, name: changed})


def reals(values, quantization):
    return ((values - np.float64(quantization.zero_point)) * quantization.steps).astype(np.float32)


def in_reals(example):
    """What the operation makes of the reals that the integers stand for."""
    values = {
        name: reals(value, example.quantizations[name]) if name in example.quantizations else value
        for name, value in example.values.items()
    }
    return compute_alone(replace(example, values=values, quantizations={}))


def test_the_operations_are_found():
    assert {"Add", "Affine", "Concat", "Conv", "MaxPool", "Upsample"} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_other_exponents_are_refused_or_right(kind):
    tried = 0
    for seed in range(CASES):
        random = np.random.default_rng(seed)
        example = kind.example(random)
        written = example.operation.written
        for name in (None, *example.quantizations):
            changed = with_exponents(example, name, random) if name else example
            try:
                check_alone(changed)
            except ArtifactError:
                continue
            if written not in changed.quantizations:
                continue
            tried += 1
            stored = changed.quantizations[written]
            found, expected = compute_alone(changed), in_reals(changed)
            steps = expected.astype(np.float64) / stored.steps + stored.zero_point
            if stored.rounding == "ceil":
                steps += 0.5
            wanted = np.clip(steps, 0, stored.maximum)
            # Half a step of rounding, and what float32 makes of large sums.
            error = np.abs(found - wanted) - 1e-4 * np.abs(steps)
            assert error.max(initial=0) <= 0.55, (seed, name)
    assert tried or kind.__name__ in REALS
