"""Maps that lie in the maps that join them: random joins of joins, beside numpy."""

import numpy as np
import pytest

from tests.deploy.csrc import build
from tests.deploy.csrc.harness import Engine, isas
from tests.deploy.csrc.test_engine import conv, convolved, random_bytes

pytestmark = pytest.mark.skipif(build.COMPILER is None, reason="no C++ compiler")

ZERO = 60  # of every map: joins leave their numbers as they are
OPERATIONS = 14


def add_lookup(engine, known, random):
    source, x = known[random.integers(len(known))]
    table = random.permutation(256).astype(np.uint8)
    return "Lookup", dict(input=source, table=table), table[x]


def add_slice(engine, known, random):
    source, x = known[random.integers(len(known))]
    first = int(random.integers(x.shape[-1]))
    count = int(random.integers(1, x.shape[-1] - first + 1))
    fields = dict(input=source, start=[0, 0], step=[1, 1], channels=[first, count])
    return "Slice", fields, x[..., first : first + count]


def add_max_pool(engine, known, random):
    source, x = known[random.integers(len(known))]
    fields = dict(input=source, kernel=[1, 1], stride=[1, 1], padding=[0, 0], ceil=0)
    return "MaxPool", fields, x


def add_affine(engine, known, random):
    source, x = known[random.integers(len(known))]
    multiplier, offset = random.normal(0, 1, (2, x.shape[-1])).astype(np.float32)
    reals = (x.astype(np.float32) - np.float32(ZERO)) * multiplier + offset
    fields = dict(input=source, multiplier=multiplier, offset=offset, relu=0)
    return "Affine", fields, np.clip(np.rint(reals) + ZERO, 0, 255).astype(np.uint8)


def add_concat(engine, known, random):
    chosen = random.integers(len(known), size=random.integers(1, 4))
    maps = [known[i][1] for i in chosen]
    # Another ratio: this part has to be copied.
    ratios = np.where(random.random(len(maps)) < 0.2, 0.5, 1).astype(np.float32)
    fields = dict(inputs=[known[i][0] for i in chosen], ratios=ratios)
    reals = [(x.astype(np.float32) - ZERO) * ratio for x, ratio in zip(maps, ratios, strict=True)]
    joined = np.concatenate(reals, axis=-1)
    return "Concat", fields, np.clip(np.rint(joined) + ZERO, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("border", [0, 1])
def test_joins_of_joins(border, seed):
    for isa in isas():
        check_joins(Engine(isa, threads=2, border=border), np.random.default_rng(seed))


def check_joins(engine, random):
    first = random_bytes(2, 6, 7, 5)
    known = [(engine.given(first, ZERO), first)]
    adders = [add_lookup, add_slice, add_max_pool, add_affine, *[add_concat] * 4]
    for _ in range(OPERATIONS):
        name, fields, expected = adders[random.integers(len(adders))](engine, known, random)
        if expected.shape[-1] > 60:
            continue
        output = engine.value(zero=ZERO)
        engine.add(name, {**fields, "output": output})
        known.append((output, expected))
    # A reader that needs a border, and one piece.
    value, x = known[-1]
    behind = conv(engine, (value, x.shape[-1]))
    output = engine.value(floats=True)
    engine.add("Conv", {**behind, "output": output})
    engine.run()
    for value, expected in known:
        assert np.array_equal(engine.read(value), expected)
    sums = convolved(x, behind["integers"], ZERO).astype(np.float32)
    assert np.array_equal(engine.read(output), sums * behind["multiplier"] + behind["offset"])


def test_parts_take_no_memory_of_their_own():
    engine = Engine(memory_limit=1_300_000)  # two maps of 300,000 and the whole of 600,000
    parts = []
    for seed in range(2):
        given = engine.given(random_bytes(1, 100, 100, 30, seed=seed), ZERO)
        fields = dict(input=given, kernel=[1, 1], stride=[1, 1], padding=[0, 0], ceil=0)
        engine.add("MaxPool", {**fields, "output": (part := engine.value(zero=ZERO))})
        parts.append(part)
    whole = engine.value(zero=ZERO)
    engine.add("Concat", dict(inputs=parts, ratios=np.ones(2, np.float32), output=whole))
    engine.run()
    assert engine.read(whole).shape == (1, 100, 100, 60)
