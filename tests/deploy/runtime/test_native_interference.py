"""The native engine among threads, interrupts and other processes."""

import copy
import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from lbwdet.deploy.runtime import native
from lbwdet.deploy.runtime.native import NativeEngine, NativeError
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.testing import random_image, tiny_artifact
from tests.deploy.runtime.native_cases import SIZES

pytestmark = pytest.mark.skipif(library_path() is None, reason="the native engine is not built")


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


class SlowLibrary:
    """Takes its time to run, and does not end when cancelled."""

    def __init__(self, library):
        self._library, self.running, self.most = library, 0, 0

    def __getattr__(self, name):
        return getattr(self._library, name)

    def lbw_run(self, *arguments):
        self.running += 1
        self.most = max(self.most, self.running)
        time.sleep(0.3)
        self.running -= 1
        return self._library.lbw_run(*arguments)


@pytest.fixture
def slow_engine():
    with NativeEngine(tiny_artifact(channels=2), threads=1) as engine:
        engine._library = SlowLibrary(engine._library)
        engine._seconds, engine._pixels = 1.0, 90 * 120  # as if it had run for long
        yield engine


@pytest.mark.parametrize(("pixels", "waits"), [(90 * 120, True), (90 * 120 - 1, False)])
def test_an_image_is_finished_first_where_one_as_large_was_quick(slow_engine, pixels, waits):
    slow_engine._seconds, slow_engine._pixels = 0.001, pixels
    threads = []
    run = slow_engine._library.lbw_run

    def seen(*arguments):
        threads.append(threading.current_thread() is threading.main_thread())
        return run(*arguments)

    slow_engine._library.lbw_run = seen
    slow_engine.detect(random_image(3, 90, 120))
    assert threads == [waits]


def test_an_engine_that_is_interrupted_twice_is_not_in_use_any_more(slow_engine):
    image, left = random_image(3, 90, 120), 5

    def interrupt(*_):
        nonlocal left
        left -= 1
        if left >= 0:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.02)
        with pytest.raises(KeyboardInterrupt):
            slow_engine.detect(image)
        assert left <= 3 and slow_engine._library.running == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    slow_engine.detect(image)
    assert slow_engine._library.most == 1


def test_an_image_lasts_as_long_as_a_run_that_was_left(slow_engine, monkeypatch):
    """The only copy of it, since it is none of rows that follow each other."""
    copies, lasted, left = [], [], 2
    checked, run = native.check_image, slow_engine._library.lbw_run

    def check_image(image):
        copy = checked(image)
        copies.append(weakref.ref(copy))
        return copy

    def lbw_run(*arguments):
        found = run(*arguments)
        lasted.append(copies[0]() is not None)
        return found

    def leave(*_):
        nonlocal left
        left -= 1
        if left >= 0:
            raise SystemExit

    monkeypatch.setattr(native, "check_image", check_image)
    slow_engine._library.lbw_run = lbw_run
    previous = signal.signal(signal.SIGALRM, leave)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.02)
        slow_engine.detect(random_image(3, 90, 240)[:, ::2])
    except SystemExit:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert slow_engine._running.locked()  # still under way, though left
    with slow_engine._running:
        assert lasted == [True]
    assert copies[0]() is None


@pytest.mark.parametrize("began", [False, True])
def test_interrupted_while_its_thread_starts(slow_engine, monkeypatch, began):
    start, threads = threading.Thread.start, []

    def interrupted(thread):
        threads.append(thread)
        if began:
            start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slow_engine.detect(random_image(3, 90, 120))
    monkeypatch.undo()
    assert slow_engine._library.running == 0
    if not began:
        start(threads[0])
    threads[0].join()
    assert slow_engine._library.most <= began


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
