"""The native engine: an artifact handed to the compiled library, image by image."""

import ctypes
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime import native_library
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.context import Context, LayerNumbers
from lbwdet.deploy.runtime.image import check_image
from lbwdet.deploy.runtime.native_library import NativeError
from lbwdet.deploy.runtime.native_program import Fields, native_values
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows

__all__ = [
    "Cost",
    "NativeEngine",
    "NativeError",
    "available_threads",
    "instruction_sets",
    "physical_memory",
]

Array = NDArray[Any]

PATIENCE = 0.1  # seconds that an interrupt may have to wait
MAX_LIMIT = (1 << 63) - 1
DEFAULT_WORK_LIMIT = 1 << 40  # a minute or two on two cores; R50 at 608 x 1024 needs 2**37


@dataclass(frozen=True)
class Cost:
    """What one operation of the last image took.

    Attributes:
        kind: name of the operation's class.
        name: of the value that it writes; empty for ``Detections``.
        nanoseconds: of wall time.
        multiplications: of weights with activations.
    """

    kind: str
    name: str
    nanoseconds: int
    multiplications: int


def available_threads() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def physical_memory() -> int:
    """Bytes of memory that this machine has."""
    if sys.platform == "win32":
        # MEMORYSTATUSEX, of 64 bytes: its own length and a percentage, then the memory.
        status = (ctypes.c_uint64 * 8)(64)
        ctypes.windll.kernel32.GlobalMemoryStatusEx(status)
        return status[1]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def instruction_sets() -> dict[str, bool]:
    """Kernels of this build, by name, and whether this CPU can run them; slowest first.

    Raises:
        NativeError: there is no native engine.
    """
    library = native_library.load(native_library.library_path())
    found, index = {}, 0
    while name := library.lbw_isa_name(index):
        found[name.decode()] = bool(library.lbw_isa_supported(index))
        index += 1
    return found


def _address(array: Array) -> int:
    """``array.ctypes.data``, in C alone: behind an image the caches hold nothing of Python."""
    if array.size and array.flags.writeable:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    return array.ctypes.data


class NativeEngine:
    """A detector packed for this CPU. Equal to the reference engine to the last bit.

    Calls from several Python threads wait for one another; use one engine per thread to run at
    the same time. An engine belongs to the process that made it.

    Args:
        artifact: program and weights; not needed any more afterwards.
        threads: 1 to the number of cores; None: all cores. Results do not depend on it.
        isa: one of :func:`instruction_sets`; None: the fastest that the CPU has.
        memory_limit: bytes that one image may take beside the weights; None: half of the
            machine's memory.
        work_limit: multiplications and comparisons that one image may take.

    Raises:
        ArtifactError: the program is not valid.
        NativeError: there is no native engine, the CPU lacks ``isa``, or ``threads`` or a limit
            is out of range.
    """

    def __init__(
        self,
        artifact: Artifact,
        threads: int | None = None,
        isa: str | None = None,
        memory_limit: int | None = None,
        work_limit: int = DEFAULT_WORK_LIMIT,
    ) -> None:
        self._engine: int | None = None
        kinds = artifact.values  # which checks it, if nobody has
        self._library = native_library.load(native_library.library_path())
        self._lock = threading.Lock()  # held while the engine is used
        self._running = threading.Lock()  # held by the thread in which it runs
        self._existence = threading.Lock()  # held for a moment: none cancels what is being freed
        self._process = os.getpid()
        self._seconds, self._pixels = float("inf"), 0  # of the last run, and of its image
        self._operations = artifact.program.operations
        self._has_masks = artifact.program.has_masks
        self._columns = {
            name: kind.columns for name, kind in kinds.items() if isinstance(kind, Rows)
        }
        self.threads = _checked_threads(threads)
        if isa is not None:
            _check_isa(isa)
        if memory_limit is None:
            memory_limit = physical_memory() // 2
        _check_limit("memory_limit", memory_limit)
        _check_limit("work_limit", work_limit)
        self._engine = self._library.lbw_create(
            None if isa is None else isa.encode(), self.threads, memory_limit, work_limit
        )
        if self._engine is None:
            raise self._error()
        self._values = native_values(artifact.program)
        self._describe(artifact)
        #: The kernels in use, one of :func:`instruction_sets`.
        self.isa: str = self._library.lbw_isa(self._engine).decode()

    def detect(self, image: Array) -> tuple[Array, Array, Array]:
        """Detections in one image.

        Args:
            image: uint8 [H, W, 3], channels in the order blue, green, red.

        Returns:
            boxes float32 [n, 4] in pixels of ``image``, scores float32 [n], labels
            int64 [n]; best first.

        Raises:
            DataError: it is something else.
            NativeError: it needs more than the limit on memory or work, or was cancelled.
        """
        with self._turn():
            return self._run(self._opened(), image, keep=False)

    def instances(self, image: Array) -> tuple[Any, ...]:
        """As :meth:`detect`, and, of a program with masks, their runs: a tuple of uint32."""
        with self._turn():
            engine = self._opened()
            found = self._run(engine, image, keep=False)
            if not self._has_masks:
                return found
            return *found, native_library.read_masks(self._library, engine, len(found[1]))

    def values(self, image: Array, names: Sequence[str]) -> dict[str, Array]:
        """Intermediate values of one image, by name. Takes more memory than :meth:`detect`.

        Raises:
            NativeError: as :meth:`detect`, or the program has no value of that name.
        """
        if unknown := sorted(set(names) - set(self._values)):
            known = ", ".join(self._values)
            raise NativeError(f"no value is called {', '.join(unknown)}; there are {known}")
        with self._turn():
            engine = self._opened()
            self._run(engine, image, keep=True)
            return {name: self._value(engine, name) for name in names}

    def profile(self) -> list[Cost]:
        """Time and work of every operation in the last image, in order."""
        with self._turn():
            engine = self._opened()
            nanoseconds, work = np.zeros((2, len(self._operations)), np.int64)
            self._library.lbw_profile(
                engine, len(nanoseconds), nanoseconds.ctypes.data, work.ctypes.data
            )
        return [
            Cost(type(operation).__name__, operation.written, int(time), int(count))
            for operation, time, count in zip(self._operations, nanoseconds, work, strict=True)
        ]

    def memory(self) -> tuple[int, int]:
        """Bytes of packed weights, and of the memory for values that images needed so far."""
        weights, values = ctypes.c_int64(), ctypes.c_int64()
        with self._turn():
            engine = self._opened()
            self._library.lbw_memory(engine, ctypes.byref(weights), ctypes.byref(values))
        return weights.value, values.value

    def cancel(self) -> None:
        """Ends a run under way in another thread: it raises NativeError. Else nothing happens."""
        if os.getpid() != self._process:
            return
        with self._existence:
            if self._engine is not None:
                self._library.lbw_cancel(self._engine)

    def close(self) -> None:
        """Ends the engine's threads and frees its memory, once a run under way has ended.

        Also done when the engine is collected.
        """
        if os.getpid() != self._process:
            # In a forked child the threads do not exist and cannot be waited for.
            self._engine = None
            return
        with self._lock, self._running:
            with self._existence:
                engine, self._engine = self._engine, None
            if engine is not None:
                self._library.lbw_destroy(engine)

    def __enter__(self) -> "NativeEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_engine", None) is not None:
            self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a native engine holds threads and memory of this process and cannot be copied; "
            "pickle the Detector, or make an engine from the artifact in each process"
        )

    def _describe(self, artifact: Artifact) -> None:
        """Hands the program over."""
        layers = {name: LayerNumbers.coded(weight) for name, weight in artifact.weights.items()}
        context = Context(artifact.program.quantizations, layers)
        for value in self._values.values():
            if self._library.lbw_add_value(self._engine, *value.described, 0) < 0:
                raise self._error()
        for operation in self._operations:
            fields = Fields(operation, context, self._values)
            kind = type(operation).__name__.encode()
            if self._library.lbw_add(self._engine, kind, fields.array, len(fields)) < 0:
                raise NativeError(f"{operation.title}: {self._message()}")

    def _turn(self) -> threading.Lock:
        """To be held by who uses the engine."""
        # A fork may have left a lock that nobody will give back.
        if os.getpid() != self._process:
            raise NativeError("this engine was made in another process: make one in each")
        return self._lock

    def _opened(self) -> int:
        """The engine; to be called by who has :meth:`_turn`."""
        with self._running:  # a run that was interrupted often enough may have been left
            if self._engine is None:
                raise NativeError("this engine was closed")
            return self._engine

    def _run(self, engine: int, image: Array, keep: bool) -> tuple[Array, Array, Array]:
        image = check_image(image)
        height, width, _ = image.shape

        def run() -> int:  # which keeps the image, should a thread outlive this call
            count: int = self._library.lbw_run(engine, _address(image), height, width, keep)
            return count

        start, pixels = time.perf_counter(), height * width
        quick = self._seconds < PATIENCE and pixels <= self._pixels
        if quick or threading.current_thread() is not threading.main_thread():
            with self._running:
                count = run()
            if count < 0:
                raise self._error()
        else:
            count = self._interruptible(run)
        self._seconds, self._pixels = time.perf_counter() - start, pixels
        boxes, scores = np.empty((count, 4), np.float32), np.empty(count, np.float32)
        labels = np.empty(count, np.int64)
        self._library.lbw_result(engine, count, _address(boxes), _address(scores), _address(labels))
        return boxes, scores, labels

    def _interruptible(self, run: Callable[[], int]) -> int:
        """What ``run`` returns, in a thread of its own: Ctrl-C does not have to wait for it."""
        found: list[int | NativeError] = []
        given_up: list[bool] = []
        ended = threading.Event()  # Thread.join, once interrupted, takes a thread for ended

        def call() -> None:
            with self._running:
                if given_up:
                    return
                count = run()
                found.append(self._error() if count < 0 else count)  # the message is the thread's
            ended.set()

        try:
            threading.Thread(target=call, daemon=True).start()
            ended.wait()
        except BaseException:
            given_up.append(True)
            while self._running.locked():
                with suppress(KeyboardInterrupt):  # once is enough
                    self.cancel()
                    ended.wait(PATIENCE)
            raise
        (result,) = found
        if isinstance(result, NativeError):
            raise result
        return result

    def _value(self, engine: int, name: str) -> Array:
        described, shape = self._values[name], np.zeros(4, np.int64)
        if self._library.lbw_value_shape(engine, described.index, shape.ctypes.data) < 0:
            raise self._error()
        value = np.empty(tuple(shape), np.float32 if described.is_float else np.uint8)
        if self._library.lbw_value(engine, described.index, value.ctypes.data) < 0:
            raise self._error()
        columns = self._columns.get(name)
        return value if columns is None else value.reshape(-1, columns)

    def _message(self) -> str:
        message: str = self._library.lbw_last_error().decode()
        # The library knows operations by their number only.
        return re.sub(
            r"^operation (\d+)", lambda found: self._operations[int(found[1])].title, message
        )

    def _error(self) -> NativeError:
        return NativeError(self._message())


def _checked_threads(threads: int | None) -> int:
    cores = available_threads()
    if threads is None:
        return cores
    if type(threads) is not int or not 1 <= threads <= cores:
        raise NativeError(f"threads={threads!r}: give 1 to {cores}, the cores of this machine")
    return threads


def _check_limit(name: str, limit: int) -> None:
    """ctypes would cut off what an int64 does not hold."""
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise NativeError(f"{name}={limit!r}: give a whole number of 1 to {MAX_LIMIT}")


def _check_isa(isa: str) -> None:
    known = instruction_sets()
    usable = ", ".join(name for name, supported in known.items() if supported)
    if isa not in known:
        raise NativeError(f"isa={isa!r} is not known; this CPU can run {usable}")
    if not known[isa]:
        raise NativeError(f"isa={isa!r}: this CPU or build lacks it; it can run {usable}")
