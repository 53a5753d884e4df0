"""The engine behind its C interface: borders, limits, cancelling, and calls that make no sense.

That every operation computes what its class says is the contract suite's matter. All of this
runs a second time under sanitizers.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.deploy.csrc import build
from tests.deploy.csrc.harness import Engine, Failed, Value, encoded, isas

pytestmark = pytest.mark.skipif(build.COMPILER is None, reason="no C++ compiler")
SANITIZED = "LBWDET_TEST_ENGINE" in os.environ

CODER = {
    "coder": "DeltaCoder",
    "coder.means": np.zeros(4, np.float32),
    "coder.stds": np.ones(4, np.float32),
    "coder.max_log_ratio": 4.1,
    "coder.max_shift": 0.0,
    "coder.end_pixels": 0,
    "coder.in_cell": 0,
    "coder.clip": 1,
}


def random_bytes(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def random_boxes(count, seed=0, size=32.0):
    ends = np.random.default_rng(seed).uniform(0, size, (count, 1, 2, 2))
    return np.sort(ends, 2).reshape(count, 1, 1, 4).astype(np.float32)


def random_candidates(count, seed=0):
    rows = np.zeros((count, 1, 1, 7), np.float32)
    rows[..., :4] = random_boxes(count, seed)
    rows[..., 4] = np.random.default_rng(seed).uniform(0, 1, (count, 1, 1))
    return rows


# What it takes to have each operation: the fields but for "output", and the kind of the output.


def preprocess(engine) -> dict[str, Any]:
    table = np.tile(np.arange(256), 3).astype(np.uint8)
    return dict(
        size=[40, 30],
        keep_ratio=1,
        to_rgb=1,
        antialias=0,
        size_divisor=8,
        pad_to_square=0,
        pad_size=[50, 0],
        pad_divisor=1,
        least_multiple=1,
        table=table,
        fill=np.arange(6, dtype=np.uint8),
    )


def conv(engine, source=None, outputs=9, to_float=False, padding=1) -> dict[str, Any]:
    source = engine.given(random_bytes(2, 6, 7, 5), 77) if source is None else source
    channels = 5 if not isinstance(source, tuple) else source[1]
    source = source if not isinstance(source, tuple) else source[0]
    weight = np.random.default_rng(1).integers(-64, 65, (outputs, channels, 3, 3)).astype(np.int8)
    return dict(
        input=source,
        integers=weight,
        in_channels=channels,
        out_channels=outputs,
        kernel=[3, 3],
        stride=[1, 1],
        padding=[padding] * 2,
        dilation=[1, 1],
        groups=1,
        relu=0,
        upsample=0,
        multiplier=np.full(outputs, 0.001, np.float32),
        offset=np.full(outputs, 90, np.float32),
        ratio=0.0,
        function="identity",
        factor=np.ones(outputs, np.float32),
    )


def depthwise(engine) -> dict[str, Any]:
    weight = np.random.default_rng(1).integers(-64, 65, (5, 1, 3, 3)).astype(np.int8)
    return conv(engine, outputs=5) | {"groups": 5, "integers": weight}


def slice_(engine) -> dict[str, Any]:
    source = engine.given(random_bytes(2, 6, 7, 5))
    return dict(input=source, start=[1, 0], step=[2, 3], channels=[1, 3])


def max_pool(engine) -> dict[str, Any]:
    source = engine.given(random_bytes(2, 6, 7, 5), 77)
    return dict(input=source, kernel=[3, 2], stride=[2, 1], padding=[1, 0], ceil=0)


def lookup(engine) -> dict[str, Any]:
    return dict(input=engine.given(random_bytes(2, 6, 7, 5)), table=random_bytes(256))


def affine(engine) -> dict[str, Any]:
    numbers = np.linspace(0.1, 2, 5, dtype=np.float32)
    source = engine.given(random_bytes(2, 6, 7, 5), 77)
    return dict(input=source, multiplier=numbers, offset=numbers, relu=0)


def add(engine) -> dict[str, Any]:
    sources = [engine.given(random_bytes(2, 6, 7, 5, seed=seed), 9) for seed in range(3)]
    return dict(inputs=sources, ratios=np.full(3, 0.3, np.float32), relu=1)


def concat(engine) -> dict[str, Any]:
    sources = [engine.given(random_bytes(2, 6, 7, count), 9) for count in (1, 4)]
    return dict(inputs=sources, ratios=np.array([1.0, 0.3], np.float32))


def upsample(engine) -> dict[str, Any]:
    return dict(input=engine.given(random_bytes(2, 6, 7, 5)), factor=[2, 3])


def roi_align(engine, boxes=None) -> dict[str, Any]:
    sizes = [(8, 9), (4, 4)]
    maps = [engine.given(random_bytes(1, *size, 5, seed=size[0]), 100) for size in sizes]
    boxes = engine.given(random_boxes(3) if boxes is None else boxes)
    return dict(
        inputs=maps,
        boxes=boxes,
        scales=np.array([0.25, 0.125], np.float32),
        ratios=np.ones(2, np.float32),
        size=3,
        sampling_ratio=0,
        aligned=1,
        box_scale=1.0,
        finest_scale=8.0,
    )


def ps_roi_align(engine) -> dict[str, Any]:
    map_ = np.random.default_rng(0).normal(0, 1, (1, 8, 9, 18)).astype(np.float32)
    boxes = engine.given(random_boxes(3))
    return dict(input=engine.given(map_), boxes=boxes, scale=0.25, size=3, sampling_ratio=2)


def candidates(engine) -> dict[str, Any]:
    numbers = np.random.default_rng(0).normal(0, 1, (1, 4, 5, 24)).astype(np.float32)
    return dict(
        scores=[engine.given(numbers[..., :12])],
        deltas=[engine.given(numbers)],
        factors=[engine.given(numbers[..., :6])],
        strides=[8],
        anchors_per_level=[6],
        base_anchors=np.tile(np.array([-8, -8, 8, 8], np.float32), 6),
        num_classes=2,
        activation="sigmoid",
        factor_first=1,
        best_class=0,
        root=0,
        whole_anchors=0,
        plain_factors=0,
        factor_threshold=0.1,
        together=1,
        unweighted=0,
        numbered=0,
        has_threshold=1,
        score_threshold=0.05,
        pre_nms=7,
        min_size=0.0,
        **CODER,
    )


def region_candidates(engine) -> dict[str, Any]:
    numbers = np.random.default_rng(0).normal(0, 1, (9, 1, 1, 12)).astype(np.float32)
    return dict(
        scores=engine.given(numbers[..., :4]),
        deltas=engine.given(numbers),
        boxes=engine.given(random_boxes(9)),
        num_classes=3,
        class_agnostic=0,
        activation="softmax",
        best=0,
        numbered=0,
        score_threshold=0.1,
        **CODER,
    )


def suppress(engine, count=20, **changed) -> dict[str, Any]:
    source = engine.given(random_candidates(count))
    fields = dict(iou_threshold=0.5, max_boxes=8, most_of_group=0, fast=0, group="class")
    return dict(fields, input=source) | changed


def rescale(engine) -> dict[str, Any]:
    return dict(input=engine.given(random_candidates(5)))


MAPS = [preprocess, conv, depthwise, max_pool, lookup, affine, add, concat, upsample, slice_]
MAPS.append(roi_align)
FLOATS = [ps_roi_align, candidates, region_candidates, suppress, rescale]
NAMES = {
    make: "".join(part.capitalize() for part in make.__name__.split("_")) for make in MAPS + FLOATS
}
NAMES |= {roi_align: "RoIAlign", ps_roi_align: "PSRoIAlign", depthwise: "Conv"}


def convolved(x, weight, zero_in):
    """Sums of a 3 x 3 convolution with a padding of 1."""
    padded = np.pad(x.astype(np.int64) - zero_in, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    return sum(
        padded[:, ky : ky + height, kx : kx + width] @ weight[:, :, ky, kx].T.astype(np.int64)
        for ky in range(3)
        for kx in range(3)
    )


@pytest.mark.parametrize("border", [0, 2])
@pytest.mark.parametrize("make", MAPS, ids=lambda make: make.__name__)
def test_a_padded_convolution_behind_every_operation(make, border):
    """Whatever writes a map leaves the border that its reader asked for."""
    for isa in isas():
        check_convolution_behind(make, border, isa)


def check_convolution_behind(make, border, isa):
    engine = Engine(isa, threads=2, border=border)
    fields, between = make(engine), engine.value(zero=60)
    engine.add(NAMES[make], {**fields, "output": between})
    probe = Engine(isa)
    probe.add(NAMES[make], {**make(probe), "output": (again := probe.value(zero=60))})
    probe.run()
    x = probe.read(again)
    output = engine.value(floats=True)
    behind = conv(engine, (between, x.shape[-1]))
    engine.add("Conv", {**behind, "output": output})
    engine.run()
    assert np.array_equal(engine.read(between), x)
    sums = convolved(x, behind["integers"], 60).astype(np.float32)
    expected = sums * behind["multiplier"] + behind["offset"]
    assert np.array_equal(engine.read(output), expected)


def test_a_residual_larger_than_the_output():
    for isa in isas():
        check_large_residual(Engine(isa))


def check_large_residual(engine):
    fields, residual = conv(engine), random_bytes(2, 11, 8, 9, seed=5)
    ratio = np.linspace(0.1, 2, 9, dtype=np.float32)
    plain, added = engine.value(floats=True), engine.value(zero=120)
    engine.add("Conv", {**fields, "output": plain})
    shrunk = {"residual": engine.given(residual, 3), "upsample": 1, "ratio": ratio}
    engine.add("Conv", {**fields, "output": added, **shrunk})
    engine.run()
    rows, columns = np.arange(6) * 11 // 6, np.arange(7) * 8 // 7
    picked = residual[:, rows[:, None], columns].astype(np.float32) - np.float32(3)
    t = engine.read(plain) + picked * ratio
    expected = np.clip(np.rint(t) + 120, 0, 255).astype(np.uint8)
    assert np.array_equal(engine.read(added), expected)


ODD = [
    [9, 9, 3, 3],
    [np.nan, 1, 5, 5],
    [1, 1, np.inf, 5],
    [-np.inf, 1, 5, 5],
    [-3e38, 0, 3e38, 9],
    [0, 0, 8, 5e6],
    [5, 5, 5, 1],
]


@pytest.mark.parametrize("ratio", [0, 2])
def test_boxes_that_are_none_give_zeros(ratio):
    boxes = np.array(ODD, np.float32).reshape(-1, 1, 1, 4)
    for make, floats in ((roi_align, False), (ps_roi_align, True)):
        engine = Engine(threads=2)
        output = engine.value(floats, zero=0 if floats else 31)
        fields = {**make(engine), "boxes": engine.given(boxes), "sampling_ratio": ratio}
        engine.add(NAMES[make], {**fields, "output": output})
        engine.run()
        assert (engine.read(output) == (0 if floats else 31)).all()


def test_many_levels():
    engine = Engine()
    sides = np.array([[0, 0, 1e9, 1e9], [0, 0, 9, 9]], np.float32)
    boxes = engine.given(sides.reshape(2, 1, 1, 4))
    maps = [engine.given(np.full((1, 3, 3, 2), level, np.uint8)) for level in range(70)]
    output = engine.value()
    fields = roi_align(engine) | {"inputs": maps, "boxes": boxes, "finest_scale": 1e-9}
    fields |= {"scales": np.full(70, 1e-9, np.float32), "ratios": np.ones(70, np.float32)}
    engine.add("RoIAlign", {**fields, "sampling_ratio": 1, "output": output})
    engine.run()
    found = engine.read(output)
    # 1e9 / 1e-9 is 2**59.8, 9 / 1e-9 is 2**33.07
    assert (found[0] == 59).all() and (found[1] == 33).all()


def test_scratch_counts_as_memory():
    engine = Engine(threads=2, memory_limit=16 << 20)
    fields = roi_align(engine) | {"size": 1024, "sampling_ratio": 1}
    engine.add("RoIAlign", {**fields, "output": engine.value()})
    with pytest.raises(
        Failed, match=r"^the feature maps of an image of 32 x 32 pixels take \d+ MiB"
    ):
        engine.run()


@pytest.mark.parametrize("factor", [(1, (1 << 30) + 1), ((1 << 30) + 1, 1)])
def test_sides_whose_double_no_int_holds(factor):
    engine = Engine(memory_limit=1 << 20)
    fields = dict(input=engine.given(random_bytes(1, 1, 1, 1)), factor=list(factor))
    engine.add("Upsample", {**fields, "output": engine.value()})
    with pytest.raises(Failed, match=r"^operation 1: an output of 1 x \d+ x \d+ x 1 is too large$"):
        engine.run()


def test_work_is_counted_before_anything_runs():
    engine = Engine(work_limit=1_000_000)
    fields = suppress(engine, 20_000, max_boxes=100_000)
    engine.add("Suppress", {**fields, "output": engine.value(floats=True)})
    with pytest.raises(
        Failed,
        match=r"^an image of 32 x 32 pixels takes 2e\+08 multiplications and comparisons, more "
        r"than the limit of 1e\+06$",
    ):
        engine.run()


def test_a_run_is_cancelled():
    """Half an hour of comparisons, were it not."""
    engine = Engine(threads=2)
    fields = suppress(engine, 1_500_000, max_boxes=1_500_000, iou_threshold=1.0)
    engine.add("Suppress", {**fields, "output": engine.value(floats=True)})
    errors = []

    def run():
        try:
            engine.run()
        except Failed as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():  # a call before the run has begun does nothing
        engine.cancel()
        thread.join(0.05)
    assert errors == ["cancelled"]


def test_a_cancelled_engine_runs_again():
    engine = Engine()
    output = engine.value()
    engine.add("Lookup", {**lookup(engine), "output": output})
    engine.cancel()
    engine.run()
    assert engine.read(output).shape == (2, 6, 7, 5)


def test_fields_that_are_not_known_are_ignored():
    engine = Engine()
    engine.add("Lookup", {**lookup(engine), "output": engine.value(), "colour": "blue"})
    engine.run()


@pytest.mark.parametrize(
    ("operation", "changed", "message"),
    [
        ("Abacus", {}, "this build has no operation Abacus"),
        ("Lookup", {"table": None}, "the field 'table' is missing"),
        ("Lookup", {"table": np.zeros(255, np.uint8)}, "'table' has 255 entries; it takes 256"),
        ("Lookup", {"table": np.zeros(256, np.int8)}, "'table' does not hold bytes"),
        ("Lookup", {"input": Value(99)}, "'input' names a value that does not exist"),
        ("Lookup", {"input": Value(-1)}, "'input' names a value that does not exist"),
        ("Lookup", {"input": 0}, "'input' does not hold values"),
        ("Lookup", {"output": Value(0)}, "a value is written twice"),
        ("Lookup", {"input": Value(2)}, "a value is read before it is written"),
        ("Suppress", {}, r"'(in|out)put' names a uint8 map; it takes a float one"),
    ],
)
def test_what_makes_no_sense_is_said(operation, changed, message):
    engine = Engine()
    fields = {**lookup(engine), "output": engine.value(), **changed}
    engine.value()
    with pytest.raises(Failed, match=message):
        engine.add(operation, {name: entry for name, entry in fields.items() if entry is not None})


EXTREMES = [0, -1, 1, 2, 7, 255, 1 << 16, 1 << 20, (1 << 31) - 1, -(1 << 31)]


@pytest.mark.parametrize("make", MAPS + FLOATS, ids=lambda make: make.__name__)
def test_malformed_calls_never_crash(make):
    """Fields that are missing, of another kind or length, or hold any numbers."""
    random = np.random.default_rng(0)
    outcomes = []
    for _ in range(60 if SANITIZED else 200):
        engine = Engine(threads=2, memory_limit=1 << 25, work_limit=1 << 27)
        fields = {**make(engine), "output": engine.value(floats=make in FLOATS)}
        encodings = [encoded(name, entry) for name, entry in fields.items()]
        for _ in range(int(random.integers(1, 3))):
            place = int(random.integers(len(encodings)))
            name, kind, count, data = encodings[place]
            if data is None or count < 1:
                continue
            match int(random.integers(6)):
                case 0:
                    encodings[place] = ("absent", kind, count, data)
                case 1:
                    encodings[place] = (name, kind, int(random.integers(0, count + 1)), data)
                case 2:
                    encodings[place] = (name, kind, int(random.choice([count, -1])), None)
                case 3 if kind in (0, 1, 5):  # of the same size, each
                    encodings[place] = (name, int(random.choice([0, 1, 5])), count, data)
                case 4 if kind in (0, 5):
                    numbers = np.array(data, np.int32)
                    numbers.reshape(-1)[random.integers(count)] = random.choice(EXTREMES)
                    encodings[place] = (name, kind, count, numbers)
                case 5 if kind == 1:
                    reals = np.array(data, np.float32)
                    odd = np.array([np.nan, np.inf, -np.inf, 1e38, -1.0, 0.0], np.float32)
                    reals.reshape(-1)[random.integers(count)] = random.choice(odd)
                    encodings[place] = (name, kind, count, reals)
        try:
            engine.add_fields(NAMES[make], encodings)
            engine.run()
            outcomes.append(True)
        except Failed as error:
            assert str(error)
            outcomes.append(False)
    assert not all(outcomes)


@pytest.mark.skipif(SANITIZED, reason="this is what runs it")
def test_all_this_under_sanitizers():
    environment = build.sanitizer_environment()
    if environment is None:
        pytest.skip("the compiler has no sanitizers")
    library = build.library(flags=build.SANITIZED)
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-x", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, __file__],
        cwd=build.REPOSITORY,
        env={**os.environ, **environment, "LBWDET_TEST_ENGINE": str(library)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-4000:]


def test_an_operation_of_another_file(tmp_path: Path):
    """One C++ file is all that an operation needs: nothing of the engine's is changed for it."""
    source = tmp_path / "negate.cpp"
    source.write_text(
        """
        #include "operation.h"
        namespace lbw {
        namespace {
        class Negate : public Operation {
         public:
          explicit Negate(const Fields& fields)
              : Operation({fields.value("input", Kind::floats)},
                          fields.value("output", Kind::floats)) {}
          Shape shape(const Sizes& sizes) const override { return sizes[inputs[0]]; }
          void run(Frame& frame) const override {
            const conv::FloatMap& in = frame.floats(inputs[0]);
            const conv::FloatMap& out = frame.begin_floats(output, in.n);
            for (std::ptrdiff_t i = 0; i < in.n * in.image_stride; ++i) out.data[i] = -in.data[i];
          }
        };
        const Registered<Negate> registered("Negate");
        }  // namespace
        }  // namespace lbw
        """
    )
    code = """
import numpy as np
from tests.deploy.csrc.harness import Engine
engine = Engine()
source = engine.given(np.array([[[[1.0, -2.5]]]], np.float32))
output = engine.value(floats=True)
engine.add("Negate", {"input": source, "output": output})
engine.run()
print(engine.read(output).tolist())
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=build.REPOSITORY,
        env={**os.environ, "LBWDET_TEST_ENGINE": str(build.library(source))},
        capture_output=True,
        text=True,
    )
    assert run.stdout == "[[[[-1.0, 2.5]]]]\n", run.stderr
