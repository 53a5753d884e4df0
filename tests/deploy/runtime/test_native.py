"""The native engine: its bytes are the reference's, and it keeps within its limits."""

import ctypes
import gc
import os
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
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.testing import random_image, tiny_artifact
from lbwdet.errors import ArtifactError, DataError
from tests.deploy.runtime.native_cases import ARTIFACTS, ISAS, SIZES, names_of

pytestmark = pytest.mark.skipif(library_path() is None, reason="the native engine is not built")


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
        # A worker that has slept through an image may only now leave its caller's CPU.
        deadline = time.monotonic() + 10
        while wrong := {w for w in workers if os.sched_getaffinity(int(w)) != allowed}:
            assert time.monotonic() < deadline, wrong
            time.sleep(0.01)
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
    for name, usable in native.instruction_sets().items():
        if not usable:
            with pytest.raises(NativeError, match=f"isa='{name}': this CPU or build lacks it"):
                NativeEngine(tiny_artifact(), isa=name)


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


def test_an_image_that_nobody_may_write():
    image = random_image(0, 61, 97)
    with NativeEngine(tiny_artifact()) as engine:
        found = engine.detect(image)
        image.flags.writeable = False
        for ours, theirs in zip(engine.detect(image), found, strict=True):
            assert ours.tobytes() == theirs.tobytes()


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
