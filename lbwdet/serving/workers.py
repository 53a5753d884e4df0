"""Threads with an engine each. The engine, and Pillow's decoders, leave Python to others."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar

import numpy as np

from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.detector import Detector
from lbwdet.deploy.runtime.native import NativeEngine, physical_memory
from lbwdet.errors import LBWError

Outcome = TypeVar("Outcome")


class GivenUp(LBWError):
    """Nobody waits for this any more."""


class Task(Generic[Outcome]):
    """Work for one detector, which may be given up from another thread at any moment.

    Args:
        work: what to do. It calls :meth:`check` before it runs the detector.
    """

    def __init__(self, work: Callable[["Task[Outcome]", Detector], Outcome]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._detector: Detector | None = None
        self._given_up = False
        #: Whether a worker has taken it.
        self.begun = False

    def __call__(self, detector: Detector) -> Outcome:
        """Does the work.

        Raises:
            GivenUp: somebody has given it up.
        """
        self.check()
        self.begun = True
        with self._lock:
            self._detector = detector
        try:
            return self._work(self, detector)
        except LBWError:
            self.check()  # a run that was cancelled says so in other words
            raise
        finally:
            with self._lock:  # from here on, whoever gives up does not end the next one's run
                self._detector = None

    def check(self) -> None:
        """Raises GivenUp if it was given up."""
        if self._given_up:
            raise GivenUp("given up")

    def give_up(self) -> None:
        """Ends the run under way, if there is one, and keeps another from beginning.

        A run that begins in this very moment goes on: call again until the task has ended.
        """
        self._given_up = True
        with self._lock:
            if self._detector is not None:
                self._detector.cancel()


class Workers:
    """Threads that run tasks in the order in which they came.

    Args:
        artifact: the detector.
        count: of threads.
        threads: of each one's engine.
        memory: bytes that each image may take in an engine; None: half of the machine's, divided.

    Attributes:
        isa: the kernels in use.

    Raises:
        NativeError: there is no native engine, or it cannot run the program.
    """

    def __init__(
        self, artifact: Artifact, count: int, threads: int, memory: int | None = None
    ) -> None:
        if memory is None:
            memory = physical_memory() // 2 // count
        self.count, self.threads = count, threads
        self._idle: SimpleQueue[Detector] = SimpleQueue()
        for _ in range(count):
            detector = Detector(artifact, threads=threads, memory_limit=memory)
            detector(np.zeros((64, 64, 3), np.uint8))  # what cannot run, cannot run now
            self._idle.put(detector)
            assert isinstance(detector.engine, NativeEngine)
            self.isa = detector.engine.isa
        self._pool = ThreadPoolExecutor(count, "lbwdet")

    def submit(self, task: Task[Outcome]) -> "Future[Outcome]":
        """What the task gives, once a worker has come to it."""
        return self._pool.submit(self._run, task)

    def close(self) -> None:
        """Ends the threads, after the tasks that they have."""
        self._pool.shutdown()

    def _run(self, task: Task[Outcome]) -> Outcome:
        detector = self._idle.get()
        try:
            return task(detector)
        finally:
            self._idle.put(detector)
