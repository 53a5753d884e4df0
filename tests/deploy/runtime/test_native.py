"""The native engine: its bytes are the reference's, and nothing that is given to it harms it."""

import ctypes
import gc
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lbwdet.deploy.runtime import native
from lbwdet.deploy.runtime.native import NativeEngine, NativeError
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.native_program import Describer
from lbwdet.deploy.runtime.operations import Conv, Detections, PSRoIAlign, Requantize
from lbwdet.deploy.runtime.reference import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact
from lbwdet.errors import ArtifactError, DataError

pytestmark = pytest.mark.skipif(library_path() is None, reason="the native engine is not built")

ISAS = (
    [name for name, usable in native.instruction_sets().items() if usable] if library_path() else []
)
SIZES = [(96, 128), (61, 97), (300, 40), (1, 1), (33, 500)]
ARTIFACTS = {
    "4bit": {},
    "6bit": dict(bit_width=6, code="paper", granularity="channel"),
    "6bit_two_term": dict(bit_width=6, code="two-term", granularity="channel"),
    "2bit_activations_4bit": dict(bit_width=2, activation_bits=4, seed=3),
    "agnostic": dict(class_agnostic=True, keep_ratio=False, size=(75, 90), seed=4),
    "odd_channels": dict(channels=11, num_classes=1, seed=5),
    "wide": dict(channels=40, seed=6),
    "rfcn": dict(make=tiny_rfcn_artifact),
    "rfcn_7x7": dict(make=tiny_rfcn_artifact, grid_size=7, sampling_ratio=0, channels=11, seed=7),
}


def made(key):
    settings = dict(ARTIFACTS[key])
    return settings.pop("make", tiny_artifact)(**settings)


def names_of(artifact):
    operations = artifact.program.operations
    return [operation.output for operation in operations if not isinstance(operation, Detections)]


@pytest.fixture(scope="module")
def expected():
    """Values and detections of the reference engine, computed once."""
    known = {}

    def compute(key, size):
        if (key, size) not in known:
            artifact = made(key)
            image, engine = random_image(7, *size), ReferenceEngine(artifact)
            values = engine.values(image, names_of(artifact))
            known[key, size] = artifact, image, values, engine.detect(image)
        return known[key, size]

    return compute


@pytest.fixture
def four_threads(monkeypatch):
    """More threads than this machine may have cores: allowed here only."""
    monkeypatch.setattr(native, "available_threads", lambda: 4)


def assert_equal_bytes(engine, image, values, found):
    for name, value in engine.values(image, list(values)).items():
        assert value.dtype == values[name].dtype and value.shape == values[name].shape, name
        assert value.tobytes() == values[name].tobytes(), name
    for ours, theirs in zip(engine.detect(image), found, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("key", ARTIFACTS)
def test_every_value_equals_the_reference(key, isa, expected):
    with NativeEngine(expected(key, SIZES[0])[0], threads=1, isa=isa) as engine:
        assert engine.isa == isa
        for size in SIZES[:2]:
            _, image, values, found = expected(key, size)
            assert_equal_bytes(engine, image, values, found)
    assert len(found[0]) > 0


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_sizes_and_threads(threads, expected, four_threads):
    with NativeEngine(expected("4bit", SIZES[0])[0], threads=threads) as engine:
        for size in SIZES * 2:  # the second time from cached plans
            _, image, values, found = expected("4bit", size)
            assert_equal_bytes(engine, image, values, found)


def test_the_best_instruction_set_is_the_default():
    with NativeEngine(tiny_artifact()) as engine:
        assert engine.isa == ISAS[-1]
        assert engine.threads == native.available_threads()


def test_no_proposals(expected):
    artifact, image, _, _ = expected("4bit", SIZES[0])
    operations = list(artifact.program.operations)
    index = next(i for i, op in enumerate(operations) if type(op).__name__ == "Proposals")
    operations[index] = replace(operations[index], min_size=1e6)
    artifact = replace(artifact, program=replace(artifact.program, operations=tuple(operations)))
    with NativeEngine(artifact) as engine:
        boxes, scores, labels = engine.detect(image)
        assert boxes.shape == (0, 4) and scores.shape == labels.shape == (0,)
        values = engine.values(image, ["proposals", "rois", "scores"])
        assert [len(value) for value in values.values()] == [0, 0, 0]


def test_two_engines_in_two_threads(expected):
    artifact, image, _, found = expected("4bit", SIZES[0])
    failures = []

    def work(engine):
        for _ in range(20):
            if not np.array_equal(engine.detect(image)[0], found[0]):
                failures.append(engine)

    with NativeEngine(artifact, threads=1) as one, NativeEngine(artifact, threads=1) as two:
        # the third and fourth share an engine with the first and second
        threads = [threading.Thread(target=work, args=[engine]) for engine in (one, two) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_memory_stays_flat():
    """Sizes never seen before come all the time: plans and arena are reused, nothing leaks."""
    page = os.sysconf("SC_PAGE_SIZE")

    def resident():
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    artifact = tiny_artifact(size=(64, 48), channels=4)
    image = random_image(0, 100, 100)
    with NativeEngine(artifact) as engine:
        for run in range(1000):
            engine.detect(image[: 20 + run * 7 % 80, : 20 + run * 11 % 80])
            if run == 200:
                early = resident()
        assert resident() - early < 2 << 20


def test_engines_leave_nothing_behind():
    artifact = tiny_artifact()
    before = threading.active_count(), len(os.listdir("/proc/self/task"))
    for _ in range(20):
        NativeEngine(artifact).detect(random_image(0, 30, 30))
    gc.collect()
    assert (threading.active_count(), len(os.listdir("/proc/self/task"))) == before


def test_interrupt(expected):
    artifact, image, _, found = expected("4bit", SIZES[0])

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with NativeEngine(artifact) as engine:
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                deadline = time.monotonic() + 10
                while time.monotonic() < deadline:
                    engine.detect(image)
            assert np.array_equal(engine.detect(image)[0], found[0])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _detect_in_child(engine, image, queue):
    try:
        engine.detect(image)
        queue.put("it ran")
    except NativeError as error:
        queue.put(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_is_told_so(expected):
    artifact, image, _, found = expected("4bit", SIZES[0])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with NativeEngine(artifact) as engine:
        child = context.Process(target=_detect_in_child, args=[engine, image, queue])
        child.start()
        assert "made in another process" in queue.get(timeout=60)
        child.join(60)
        assert child.exitcode == 0
        assert np.array_equal(engine.detect(image)[0], found[0])


def test_profile(expected):
    artifact, image, values, _ = expected("4bit", SIZES[0])
    with NativeEngine(artifact) as engine:
        engine.detect(image)
        costs = engine.profile()
    assert [cost.kind for cost in costs] == [
        type(operation).__name__ for operation in artifact.program.operations
    ]
    assert [cost.name for cost in costs] == [*names_of(artifact), ""]
    for cost, operation in zip(costs, artifact.program.operations, strict=True):
        assert cost.nanoseconds > 0
        work = 0
        if isinstance(operation, Conv):
            weight = artifact.weights[operation.layer].codes
            work = values[operation.output].size * weight[0].size
        assert cost.multiplications == work


@pytest.mark.parametrize("threads", [0, -1, 10**6, 1.5, True])
def test_threads_that_are_not_there(threads):
    with pytest.raises(NativeError, match=r"threads=.*: give 1 to \d+, the cores"):
        NativeEngine(tiny_artifact(), threads=threads)


def test_instruction_sets_that_are_not_there(monkeypatch):
    with pytest.raises(NativeError, match="isa='sse9' is not known; this CPU can run portable"):
        NativeEngine(tiny_artifact(), isa="sse9")
    missing = [name for name, usable in native.instruction_sets().items() if not usable]
    assert missing  # x86 or ARM: nobody has both
    with pytest.raises(NativeError, match=f"isa='{missing[0]}': this CPU or build lacks it"):
        NativeEngine(tiny_artifact(), isa=missing[0])


@pytest.mark.parametrize(
    ("size", "limit", "message"),
    [
        (2000, 1 << 20, r"an image of 90 x 80 pixels take \d+ MiB, more than the limit of 1 MiB"),
        (32768, 1 << 60, r"Preprocess image: its output of .* is too large"),
    ],
)
def test_maps_that_exceed_the_memory(size, limit, message):
    with NativeEngine(tiny_artifact(size=(size, size)), memory_limit=limit) as engine:
        for _ in range(2):
            with pytest.raises(NativeError, match=message):
                engine.detect(random_image(0, 90, 80))


def test_a_memory_limit_of_nothing():
    with pytest.raises(NativeError, match="memory_limit"):
        NativeEngine(tiny_artifact(), memory_limit=0)


def test_what_is_no_image():
    with NativeEngine(tiny_artifact()) as engine, pytest.raises(DataError, match="float64"):
        engine.detect(np.zeros((30, 30, 3)))


def test_values_that_are_not_there():
    engine = NativeEngine(tiny_artifact())
    with pytest.raises(NativeError, match="no value is called stm; there are image, stem"):
        engine.values(random_image(0, 30, 30), ["stm"])


def test_a_closed_engine():
    engine = NativeEngine(tiny_artifact())
    engine.close()
    engine.close()
    for call in (engine.detect, lambda image: engine.values(image, ["image"])):
        with pytest.raises(NativeError, match="was closed"):
            call(random_image(0, 30, 30))


def test_a_program_that_is_not_valid():
    artifact = tiny_artifact()
    operations = list(artifact.program.operations)
    operations[1] = replace(operations[1], stride=(0, 1))
    program = replace(artifact.program, operations=tuple(operations))
    with pytest.raises(ArtifactError, match="stride"):
        NativeEngine(replace(artifact, program=program))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("input", 99, "no such value"),
        ("input", -2, "no such value"),
        ("output", 0, "written twice"),
        ("stride", (0, 1), ""),
        ("kernel", (1 << 20, 1), ""),
        ("in_channels", 0, ""),
    ],
)
def test_the_library_checks_what_it_is_told(field, value, message, monkeypatch):
    """No description can make it crash, even one that no valid program has."""
    describe = Describer.describe

    def wrong(self, operation):
        function, struct = describe(self, operation)
        if isinstance(operation, Conv):
            setattr(struct, field, value)
        return function, struct

    monkeypatch.setattr(Describer, "describe", wrong)
    with pytest.raises(NativeError, match=f"^Conv stem: .*{message}"):
        NativeEngine(tiny_artifact())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(input=99), "no such value"),
        (dict(table=(ctypes.c_uint8 * 256)(*[16] * 256)), "table"),
    ],
)
def test_the_library_checks_requantized_values(changes, message, monkeypatch):
    describe = Describer.describe

    def wrong(self, operation):
        function, struct = describe(self, operation)
        if isinstance(operation, Requantize):
            for field, value in changes.items():
                setattr(struct, field, value)
        return function, struct

    monkeypatch.setattr(Describer, "describe", wrong)
    with pytest.raises(NativeError, match=f"^Requantize pooled.low: .*{message}"):
        NativeEngine(tiny_artifact(activation_bits=4))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("input", 99, "no such value"),
        ("input", 0, "a uint8 map where a float one belongs"),
        ("size", 0, "size"),
        ("size", 2, "Detections: scores of 9 and deltas of 9 channels"),
        ("size", 5, "36 channels of 1 maps for 25 cells"),
        ("sampling_ratio", 1 << 20, "sampling_ratio"),
    ],
)
def test_the_library_checks_votes(field, value, message, monkeypatch):
    describe = Describer.describe

    def wrong(self, operation):
        function, struct = describe(self, operation)
        if isinstance(operation, PSRoIAlign):
            setattr(struct, field, value)
        return function, struct

    monkeypatch.setattr(Describer, "describe", wrong)
    with pytest.raises(NativeError, match=message):
        NativeEngine(tiny_rfcn_artifact()).detect(random_image(0, 40, 40))
