"""What is joined is rounded once, wherever nobody else needs it more finely."""

import numpy as np
import pytest

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.calibration.histogram import Histogram, affine
from lbwdet.deploy.calibration.joined import round_once
from lbwdet.deploy.calibration.readers import readers_of
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.operations.slice import Slice
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization

FINE, COARSE, MIDDLE = affine(-0.1, 0.9), affine(-1.0, 9.0), affine(-1.0, 8.0)
RANGES = {"x": 9.0, "a": 0.9, "b": 9.0, "c": 9.0, "joined": 9.0, "again": 9.0}


def found(operations, fixed=(), **quantizations):
    """Every value is spread evenly over its range; ``x`` is what all others are made of."""
    histograms = {}
    for name in quantizations:
        histograms[name] = Histogram()
        values = np.linspace(-1, 9, 5000, dtype=np.float32).reshape(1, 1, -1, 1)
        histograms[name].add(values / 10 if quantizations[name] == FINE else values)
    program = Program(tuple(operations), {})
    readers = readers_of(program, {})
    return round_once(program, quantizations, histograms, readers, {}, set(fixed))


def made(name, source="x"):
    return Lookup(source, name, "tanh")


def test_what_only_the_joined_map_needs_has_its_quantization():
    joined = Concat(("a", "b"), "joined")
    operations = [made("a"), made("b"), joined]
    result = found(operations, x=COARSE, a=FINE, b=COARSE, joined=MIDDLE)
    assert result == dict(x=COARSE, a=MIDDLE, b=MIDDLE, joined=MIDDLE)


def test_the_joined_map_takes_over_that_of_an_input_that_others_read():
    operations = [made("a"), made("b"), Concat(("a", "b"), "joined"), Add(("b", "x"), "c")]
    result = found(operations, x=COARSE, a=FINE, b=COARSE, c=COARSE, joined=MIDDLE)
    assert result == dict(x=COARSE, a=COARSE, b=COARSE, c=COARSE, joined=COARSE)


def test_not_where_others_would_lose_more():
    operations = [made("a"), made("b"), Concat(("a", "b"), "joined"), Add(("a", "x"), "c")]
    result = found(operations, x=COARSE, a=FINE, b=COARSE, c=COARSE, joined=MIDDLE)
    assert result == dict(x=COARSE, a=FINE, b=MIDDLE, c=COARSE, joined=MIDDLE)


def test_parts_of_an_image_stay_what_they_are():
    parts = [Slice("x", name, start=(0, at), step=(1, 2)) for at, name in enumerate("ab")]
    operations = [*parts, Concat(("a", "b"), "joined")]
    result = found(operations, fixed=["x"], x=COARSE, a=COARSE, b=COARSE, joined=MIDDLE)
    assert set(result.values()) == {COARSE}
    free = found(operations, x=COARSE, a=COARSE, b=COARSE, joined=MIDDLE)
    assert set(free.values()) == {MIDDLE}  # made where the image is


def test_what_passes_integers_on_follows():
    pool = MaxPool("a", "b", (3, 3), (1, 1), (1, 1))
    result = found(
        [made("a"), pool, Concat(("a", "b"), "joined")], x=FINE, a=COARSE, b=COARSE, joined=MIDDLE
    )
    assert result == dict(x=FINE, a=MIDDLE, b=MIDDLE, joined=MIDDLE)
    outside = found(
        [made("a"), pool, Concat(("a", "b"), "joined"), Add(("b", "x"), "c")],
        **dict(x=COARSE, a=COARSE, b=COARSE, c=COARSE, joined=MIDDLE),
    )
    assert outside["a"] == outside["b"] == outside["joined"] == COARSE


def test_joined_again_they_are_as_the_last_has_it():
    operations = [made("a"), made("b"), made("c")]
    operations += [Concat(("a", "b"), "joined"), Concat(("joined", "c"), "again")]
    result = found(operations, x=COARSE, a=FINE, b=FINE, c=COARSE, joined=FINE, again=MIDDLE)
    assert result == dict.fromkeys(["a", "b", "c", "joined", "again"], MIDDLE) | {"x": COARSE}


def test_steps_of_channels_stay():
    steps = Quantization(0.1, exponents=(0, 1))
    operations = [made("a"), made("b"), Concat(("a", "b"), "joined")]
    given = dict(x=FINE, a=COARSE, b=COARSE, joined=steps)
    assert found(operations, **given) == given


@pytest.mark.parametrize("method", ["mse", "minmax"])
def test_calibrated(method):
    """A focus: the image's own integers, and white is white, if calibration saw only dark ones."""
    image = np.full((16, 16, 3), 20, np.uint8)
    image[3, 3] = 150
    parts = [Slice("image", f"part{at}", start=(0, at), step=(1, 2)) for at in range(2)]
    program = Program(
        (
            Preprocess("image", (16, 16), False, (0.0,) * 3, (1.0,) * 3, False, 1),
            *parts,
            Concat(("part0", "part1"), "joined"),
            Lookup("joined", "out", "tanh"),
        ),
        {},
    )
    quantizations = calibrate(program, {}, [("image", image)], method).quantizations
    assert {quantizations[name] for name in ("image", "part0", "part1", "joined")} == {
        Quantization(1.0)
    }
