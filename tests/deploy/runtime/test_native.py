"""The native engine: its bytes are the reference's, and nothing that is given to it harms it."""

import copy
import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lbwdet.deploy.runtime import native
from lbwdet.deploy.runtime.alone import compute_alone, run_alone
from lbwdet.deploy.runtime.native import NativeEngine, NativeError
from lbwdet.deploy.runtime.native_library import Field, FieldKind, library_path
from lbwdet.deploy.runtime.native_program import Fields, field
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
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
    return [operation.written for operation in artifact.program.operations[:-1]]


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


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("size", [1, 30, 1e4, 1e7])
def test_silu_of_reals_of_any_size(size, isa):
    """Beyond 87 its exponential needs limits; beyond int32, what comes of it."""
    met = set()
    for seed in range(60):
        case = Conv.example(np.random.default_rng(seed))
        if case.operation.function != "silu":
            continue
        layer = case.weights["layer"]
        layer = replace(layer, gain=layer.gain * np.float32(size), bias=layer.bias * size)
        for scale in (1e-4, 0.02, 0.5, 2.0 * size):
            written = replace(case.quantizations["y"], scale=scale, rounding="nearest")
            wide = replace(
                case,
                weights={"layer": layer},
                quantizations={**case.quantizations, "y": written},
            )
            expected = compute_alone(wide)
            assert np.array_equal(run_alone(wide, isa=isa), expected), (seed, scale)
            met.add(int(expected.max()))
    assert len(met) > 5


def test_the_best_instruction_set_is_the_default():
    with NativeEngine(tiny_artifact()) as engine:
        assert engine.isa == ISAS[-1]
        assert engine.threads == native.available_threads()


def test_no_proposals(expected):
    artifact, image, _, _ = expected("4bit", SIZES[0])
    operations = list(artifact.program.operations)
    index = next(i for i, op in enumerate(operations) if isinstance(op, Candidates))
    operations[index] = replace(operations[index], min_size=1e6)
    artifact = replace(artifact, program=replace(artifact.program, operations=tuple(operations)))
    with NativeEngine(artifact) as engine:
        boxes, scores, labels = engine.detect(image)
        assert boxes.shape == (0, 4) and scores.shape == labels.shape == (0,)
        values = engine.values(image, ["proposals", "rois", "scores", "detections.kept"])
        assert [len(value) for value in values.values()] == [0, 0, 0, 0]
        assert values["proposals"].shape == (0, 4) and values["detections.kept"].shape == (0, 7)


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


class MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX, as Microsoft's reference of the Windows API gives it."""

    _fields_ = [("dwLength", ctypes.c_uint32), ("dwMemoryLoad", ctypes.c_uint32)] + [
        (name, ctypes.c_uint64)
        for name in (
            *("ullTotalPhys", "ullAvailPhys", "ullTotalPageFile", "ullAvailPageFile"),
            *("ullTotalVirtual", "ullAvailVirtual", "ullAvailExtendedVirtual"),
        )
    ]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads of Linux")
def test_threads_between_images():
    """They may run where they could before, and burn no core while there is nothing to do."""
    before = set(os.listdir("/proc/self/task"))
    with NativeEngine(tiny_artifact(), threads=min(2, native.available_threads())) as engine:
        workers = set(os.listdir("/proc/self/task")) - before
        allowed = os.sched_getaffinity(0)
        image = random_image(0, 96, 128)
        for pause in (0, 0, 0.002, 0.02, 0.1):
            time.sleep(pause)
            engine.detect(image)
        assert {frozenset(os.sched_getaffinity(int(worker))) for worker in workers} <= {
            frozenset(allowed)
        }
        used = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - used < 0.1


def test_memory_of_windows(monkeypatch):
    def fill(array):
        status = MemoryStatus.from_buffer(array)
        assert status.dwLength == ctypes.sizeof(MemoryStatus) == ctypes.sizeof(array)
        status.dwMemoryLoad, status.ullTotalPhys, status.ullAvailPhys = 50, 7 << 30, 3 << 30
        return 1

    kernel32 = SimpleNamespace(GlobalMemoryStatusEx=fill)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel32), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert native.physical_memory() == 7 << 30


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


LARGE = dict(size=(800, 800), channels=16)  # runs for so long that it can be interfered with


@pytest.fixture(scope="module")
def large():
    """An artifact, an image, and the boxes in it."""
    artifact, image = tiny_artifact(**LARGE), random_image(3, 90, 120)
    with NativeEngine(artifact) as engine:
        return artifact, image, engine.detect(image)[0]


class Worker(threading.Thread):
    """Detects in an image again and again until there is an error."""

    def __init__(self, engine, image, expected):
        super().__init__(daemon=True)
        self.engine, self.image, self.expected = engine, image, expected
        self.runs, self.error, self.wrong = 0, None, 0
        self.started = threading.Event()

    def run(self):
        try:
            while True:
                self.started.set()
                boxes = self.engine.detect(self.image)[0]
                self.wrong += not np.array_equal(boxes, self.expected)
                self.runs += 1
        except Exception as error:
            self.error = error


def test_cancelled_from_another_thread(large):
    artifact, image, boxes = large
    with NativeEngine(artifact) as engine:
        engine.cancel()  # nothing runs: nothing happens
        assert np.array_equal(engine.detect(image)[0], boxes)
        worker = Worker(engine, image, boxes)
        worker.start()
        deadline = time.monotonic() + 60
        while worker.is_alive() and time.monotonic() < deadline:
            engine.cancel()
            time.sleep(0.001)
        worker.join(60)
        assert isinstance(worker.error, NativeError) and str(worker.error) == "cancelled"
        assert not worker.wrong
        assert np.array_equal(engine.detect(image)[0], boxes)  # the engine is as good as before
    engine.cancel()  # closed


def test_a_cancelled_run_ends_soon(large):
    artifact, image, boxes = large
    with NativeEngine(artifact, threads=1) as engine:
        begin = time.monotonic()
        engine.detect(image)
        whole = time.monotonic() - begin
        took = []
        for _ in range(5):
            worker = Worker(engine, image, boxes)
            worker.start()
            worker.started.wait(60)
            time.sleep(whole / 4)
            begin = time.monotonic()
            while worker.is_alive():
                engine.cancel()
                worker.join(0.001)
            took.append(time.monotonic() - begin)
        assert min(took) < whole / 2


def test_closed_while_it_runs_in_another_thread(large):
    """The run ends as if nothing had happened; only then the engine is gone."""
    artifact, image, boxes = large
    for pause in (0, 0.01, 0.05):
        engine = NativeEngine(artifact)
        worker = Worker(engine, image, boxes)
        worker.start()
        worker.started.wait(60)
        time.sleep(pause)
        engine.close()
        worker.join(60)
        assert not worker.is_alive() and not worker.wrong
        assert isinstance(worker.error, NativeError) and "was closed" in str(worker.error)


def test_what_is_being_cancelled_is_not_freed_yet():
    engine = NativeEngine(tiny_artifact(channels=2))
    cancelling, free_to_go = threading.Event(), threading.Event()
    library, calls = engine._library, []

    def cancel(_):
        cancelling.set()
        free_to_go.wait(60)
        calls.append("cancelled")

    def destroy(address):
        calls.append("freed")
        library.lbw_destroy(address)

    engine._library = SimpleNamespace(lbw_cancel=cancel, lbw_destroy=destroy)
    threads = [threading.Thread(target=engine.cancel), threading.Thread(target=engine.close)]
    threads[0].start()
    cancelling.wait(60)
    threads[1].start()
    time.sleep(0.05)
    free_to_go.set()
    for thread in threads:
        thread.join(60)
    assert calls == ["cancelled", "freed"]


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_engine_cannot_be_copied(copied):
    with (
        NativeEngine(tiny_artifact(channels=2)) as engine,
        pytest.raises(TypeError, match="holds threads and memory of this process"),
    ):
        copied(engine)


def _detect_in_child(engine, image, queue):
    try:
        engine.detect(image)
        queue.put("it ran")
    except NativeError as error:
        queue.put(str(error))
    engine.cancel()
    engine.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_that_is_forked_during_a_run_is_told_so(large):
    """And neither waits for a lock that nobody there will release, nor for threads it has not."""
    artifact, image, boxes = large
    context = multiprocessing.get_context("fork")
    engine = NativeEngine(artifact)
    worker = Worker(engine, image, boxes)
    worker.start()
    worker.started.wait(60)
    for _ in range(5):
        time.sleep(0.005)
        queue = context.Queue()
        child = context.Process(target=_detect_in_child, args=[engine, image, queue])
        child.start()
        assert "made in another process" in queue.get(timeout=60)
        child.join(60)
        assert child.exitcode == 0
    assert worker.is_alive() and not worker.wrong
    engine.close()
    worker.join(60)
    assert "was closed" in str(worker.error) and not worker.wrong


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


def test_memory_of_weights_and_values(expected):
    artifact, image, *_ = expected("4bit", SIZES[0])
    with NativeEngine(artifact) as engine:
        weights, values = engine.memory()
        assert weights >= sum(weight.codes.size for weight in artifact.weights.values())
        assert values == 0
        engine.detect(image)
        assert engine.memory()[0] == weights and engine.memory()[1] >= image.size


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
        (32768, 1 << 60, r"^Preprocess image: an output of .* is too large"),
    ],
)
def test_maps_that_exceed_the_memory(size, limit, message):
    with NativeEngine(tiny_artifact(size=(size, size)), memory_limit=limit) as engine:
        for _ in range(2):
            with pytest.raises(NativeError, match=message):
                engine.detect(random_image(0, 90, 80))


def test_an_image_that_takes_too_much_work():
    message = (
        r"30 x 31 pixels takes .*multiplications and comparisons, more than the limit of 1e\+04"
    )
    with NativeEngine(tiny_artifact(), work_limit=10_000) as engine:
        for _ in range(2):
            with pytest.raises(NativeError, match=message):
                engine.detect(random_image(0, 30, 31))


@pytest.mark.parametrize("value", [0, -1, 1.5e9, "1G", True, 1 << 63, (1 << 64) + 10**9])
@pytest.mark.parametrize("limit", ["memory_limit", "work_limit"])
def test_limits_that_are_none(limit, value):
    with pytest.raises(NativeError, match=f"^{limit}={value!r}: give a whole number of 1 to 9223"):
        NativeEngine(tiny_artifact(), **{limit: value})


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


@pytest.fixture
def told(monkeypatch):
    """Makes engines tell the library other fields of one kind of operation than there are.

    Of a name: a number or an array, None to leave it out, or a ``Field`` as it is.
    """

    def tell(kind, **changes):
        class Told(Fields):
            def __init__(self, operation, context, values):
                super().__init__(operation, context, values)
                if not isinstance(operation, kind):
                    return
                self._fields = list(self._fields)
                for name, value in changes.items():
                    name = name.replace("__", ".")
                    (at,) = (
                        i for i, entry in enumerate(self._fields) if entry.name.decode() == name
                    )
                    if value is None:
                        del self._fields[at]
                    elif isinstance(value, Field):
                        self._fields[at] = value
                    else:
                        kind_of_field = FieldKind(self._fields[at].kind)
                        is_value = kind_of_field is FieldKind.VALUE
                        given = np.array(value, np.int32) if is_value else value
                        self._fields[at] = field(name, given, kind_of_field if is_value else None)
                self.array = (Field * len(self._fields))(*self._fields)

        monkeypatch.setattr(native, "Fields", Told)

    return tell


NOTHING_THERE = Field(b"input", FieldKind.VALUE, 1, None)
LESS_THAN_NOTHING = Field(b"stride", FieldKind.INT32, -2, NOTHING_THERE.data)
NAMELESS = Field(None, FieldKind.INT32, 0, None)
FLOATS = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("input", [99], "the field 'input' names a value that does not exist"),
        ("input", [-2], "the field 'input' names a value that does not exist"),
        ("input", [1 << 30], "the field 'input' names a value that does not exist"),
        ("input", [1], "a value is read before it is written"),
        ("input", [0, 0], "the field 'input' has 2 entries; it takes 1"),
        ("input", [], "the field 'input' has 0 entries; it takes 1"),
        ("input", None, "the field 'input' is missing"),
        ("input", field("input", 0), "the field 'input' does not hold values"),
        ("input", NOTHING_THERE, "the field 'input' has no data"),
        ("input", NAMELESS, "the field 'input' is missing"),
        ("output", [0], "written twice"),
        ("stride", (0, 1), "stride"),
        ("stride", (-1, 1), "stride"),
        ("stride", (2,), "the field 'stride' has 1 entries; it takes 2"),
        ("stride", FLOATS, "the field 'stride' does not hold integers"),
        ("stride", LESS_THAN_NOTHING, "the field 'stride' has no data"),
        ("kernel", (1 << 20, 1), "'integers' has another size than channels and kernel say"),
        ("padding", (-1, 0), "padding"),
        ("padding", (1 << 30, 1 << 30), ""),
        ("dilation", (0, 1), "dilation"),
        ("in_channels", 0, "channels must be positive"),
        ("in_channels", 1 << 30, "the weight is too large"),
        ("integers", np.ones(5, np.int8), "'integers' has another size"),
        ("integers", FLOATS, "'integers' does not hold integers of 8 bits"),
        ("integers", None, "'integers' is missing"),
        ("multiplier", FLOATS, r"'multiplier' has 2 entries; it takes \d"),
        ("offset", FLOATS, r"'offset' has 2 entries; it takes \d"),
        ("relu", "yes", "'relu' does not hold integers"),
    ],
)
def test_the_library_checks_what_it_is_told(name, value, message, told):
    """No description can make it crash, even one that no valid program has."""
    told(Conv, **{name: value})
    with pytest.raises(NativeError, match=f"^Conv stem: .*{message}"):
        NativeEngine(tiny_artifact()).detect(random_image(0, 40, 40))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(levels=np.zeros(255, np.int8)), "levels are tables of 256"),
        (dict(levels=np.full(256, 65, np.int8)), "a weight is beyond 64"),
        (dict(levels_of=np.zeros(1, np.int32)), "one of them for each channel"),
        (dict(levels_of=np.full(8, -1, np.int32)), "one of them for each channel"),
        (dict(levels_of=np.zeros(0, np.int32)), "one of them for each channel"),
        (dict(levels_of=np.zeros(8, np.float32)), "'levels_of' does not hold integers"),
    ],
)
def test_the_library_checks_what_codes_stand_for(changes, message, monkeypatch):
    constants = Conv.constants

    def others(self, context):
        found = constants(self, context)
        return {**found, **changes} if "levels" in found else found

    monkeypatch.setattr(Conv, "constants", others)
    with pytest.raises(NativeError, match=f"^Conv .*: .*{message}"):
        NativeEngine(tiny_artifact())


def test_the_library_knows_floats_from_integers(told):
    names = names_of(tiny_artifact())
    told(MaxPool, input=[names.index("p2.scores")])
    with pytest.raises(
        NativeError, match=r"^MaxPool pooled: .*'input' names a float map; it takes"
    ):
        NativeEngine(tiny_artifact())
    told(Candidates, scores=[0] * 5)
    with pytest.raises(NativeError, match=r"^Candidates .*'scores' names a uint8 map; it takes a"):
        NativeEngine(tiny_artifact())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(input=[99]), "names a value that does not exist"),
        (dict(table=np.full(256, 16, np.uint8)), "the table goes beyond the output's maximum"),
        (dict(table=np.zeros(255, np.uint8)), "the field 'table' has 255 entries; it takes 256"),
    ],
)
def test_the_library_checks_tables(changes, message, told):
    told(Lookup, **changes)
    with pytest.raises(NativeError, match=f"^Lookup pooled.low: .*{message}"):
        NativeEngine(tiny_artifact(activation_bits=4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(strides=(4, 8)), "every level needs a stride, anchors, scores, and deltas"),
        (dict(strides=()), "every level needs a stride"),
        (dict(deltas=[0]), "'deltas' names a uint8 map"),
        (dict(anchors_per_level=np.array([3, 3, 3, 3, 4])), "base_anchors are not those of"),
        (dict(anchors_per_level=np.array([3, 3, 3, 3, -1])), "base_anchors are not those of"),
        (dict(anchors_per_level=np.array([3, 3, 3, 3, 1 << 30])), "base_anchors are not those of"),
        (dict(base_anchors=np.zeros(7, np.float32)), "base_anchors are not those of"),
        (dict(num_classes=0), "num_classes and pre_nms must be positive"),
        (dict(pre_nms=-1), "num_classes and pre_nms must be positive"),
        (dict(num_classes=2), ""),
        (dict(activation="tanh"), "this build has no scores by tanh"),
        (dict(coder="PolarCoder"), "this build has no coder PolarCoder"),
        (dict(coder__max_log_ratio=-1.0), "coder.max_log_ratio is negative"),
        (dict(root=1), "root, but not of products of an activation and a sigmoid"),
        (dict(best_class=1, whole_anchors=1), "best_class of whole_anchors"),
        (dict(coder__stds=(1.0, 1.0)), "'coder.stds' has 2 entries; it takes 4"),
    ],
)
def test_the_library_checks_dense_heads(changes, message, told):
    told(Candidates, **changes)
    with pytest.raises(NativeError, match=f"^Candidates proposals.candidates: .*{message}"):
        NativeEngine(tiny_artifact()).detect(random_image(0, 40, 40))


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (Suppress, dict(group="colour"), "this build has no groups by colour"),
        (Suppress, dict(max_boxes=0), "max_boxes must be positive"),
        (RoIAlign, dict(size=0), "size must be positive"),
        (RoIAlign, dict(size=1 << 30), ""),
        (RoIAlign, dict(inputs=[]), ""),
        (RoIAlign, dict(ratios=(0.5,)), "ratios"),
        (RoIAlign, dict(boxes=[0]), "'boxes' names a uint8 map"),
        (MaxPool, dict(stride=(0, 1)), "stride must be positive"),
        (MaxPool, dict(padding=(3, 1)), "padding must be 0 to kernel - 1"),
        (MaxPool, dict(kernel=(0, 3)), ""),
        (Preprocess, dict(size=(0, 5)), "size must be positive"),
        (Preprocess, dict(size_divisor=0), "size_divisor must be positive"),
        (Preprocess, dict(pad_divisor=0), "pad_divisor and least_multiple must be positive"),
        (MaxPool, dict(ceil=True, stride=(3, 3)), "kernels must be at least stride and padding"),
        (Preprocess, dict(table=np.zeros(3, np.uint8)), "'table' has 3 entries; it takes 768"),
        (Preprocess, dict(fill=np.zeros(3, np.uint8)), "'fill' has 3 entries; it takes 6"),
        (Preprocess, dict(pad_size=(1,)), "pad_size is width, height"),
    ],
)
def test_the_library_checks_other_operations(kind, changes, message, told):
    told(kind, **changes)
    with pytest.raises(NativeError, match=f"^{kind.__name__} .*{message}"):
        NativeEngine(tiny_artifact()).detect(random_image(0, 40, 40))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("input", [99], "names a value that does not exist"),
        ("input", [0], "'input' names a uint8 map; it takes a float one"),
        ("size", 0, "size must be positive"),
        ("size", 2, r"RegionCandidates .*scores of \d+ x 1 x 1 x 9, deltas of"),
        ("size", 5, "a map of .* for 25 cells"),
        ("sampling_ratio", 1 << 30, "more than the limit of"),
    ],
)
def test_the_library_checks_votes(name, value, message, told):
    told(PSRoIAlign, **{name: value})
    with pytest.raises(NativeError, match=message):
        NativeEngine(tiny_rfcn_artifact(), work_limit=1 << 32).detect(random_image(0, 40, 40))


def test_the_library_ignores_fields_that_it_does_not_know(monkeypatch, expected):
    class More(Fields):
        def __init__(self, operation, context, values):
            super().__init__(operation, context, values)
            self._fields = [field("unheard_of", 3), *self._fields]
            self.array = (Field * len(self._fields))(*self._fields)

    monkeypatch.setattr(native, "Fields", More)
    artifact, image, _, found = expected("4bit", SIZES[0])
    with NativeEngine(artifact) as engine:
        assert np.array_equal(engine.detect(image)[0], found[0])


def test_an_operation_that_this_build_lacks(monkeypatch):
    """Whose Python file was added, and whose C++ file was not."""
    monkeypatch.setattr(Operation, "registry", dict(Operation.registry))

    class Blur(Regions):
        pass

    artifact = tiny_artifact()
    operations = tuple(
        Blur(operation.input, operation.output) if isinstance(operation, Regions) else operation
        for operation in artifact.program.operations
    )
    artifact = replace(artifact, program=replace(artifact.program, operations=operations))
    assert len(ReferenceEngine(artifact).detect(random_image(0, 40, 40))[0]) > 0
    with pytest.raises(NativeError, match=r"^Blur proposals: this build has no operation Blur"):
        NativeEngine(artifact)


def test_ctrl_c_does_not_wait_for_a_long_run():
    """Of an image that takes long; what runs quickly is interrupted between images."""
    code = (
        "import os, signal, sys, threading, time\n"
        "from lbwdet.deploy.runtime.native import NativeEngine\n"
        "from lbwdet.deploy.testing import random_image, tiny_artifact\n"
        "engine = NativeEngine(tiny_artifact(size=(4000, 4000), channels=32), threads=1)\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "start = time.monotonic()\n"
        "try:\n    engine.detect(random_image(0, 500, 500))\n"
        "except KeyboardInterrupt:\n    print('interrupted', time.monotonic() - start < 30)\n"
        "print('it runs again', len(engine.detect(random_image(0, 1, 60))) == 3)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["interrupted True", "it runs again True"]
