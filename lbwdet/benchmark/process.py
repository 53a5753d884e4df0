"""The parent's end of a worker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lbwdet.errors import LBWError

WORKER = Path(__file__).with_name("worker.py")
RUN = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOG_LINES = 5


class EngineError(LBWError):
    """An engine cannot be loaded, or failed."""


@dataclass(frozen=True)
class EngineSpec:
    """How to load an engine: a class by name, and its arguments.

    Attributes:
        dense: whether its dense part can be timed by itself.
        parallel: whether it can look at several images at a time.
        files: what its model is in, all of which are needed to run it.
    """

    name: str
    module: str
    attribute: str
    arguments: dict[str, Any]
    dense: bool = True
    parallel: bool = False
    files: tuple[str, ...] = ()

    @property
    def file_bytes(self) -> int | None:
        """Size of its files; None where there are none."""
        return sum(Path(file).stat().st_size for file in self.files) or None


class EngineProcess:
    """A loaded engine. Use as a context manager.

    Attributes:
        spec: what it was loaded by.
        load_s: seconds from the start of the process until the engine was ready.
    """

    def __init__(self, spec: EngineSpec, threads: int, log: Path) -> None:
        self.name = spec.name
        self.spec = spec
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        environment["CUDA_VISIBLE_DEVICES"] = ""
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
        start = time.perf_counter()
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", RUN, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        try:
            self._send(asdict(spec))
        except EngineError:
            self.close()
            raise
        self.load_s = time.perf_counter() - start

    def ask(self, call: str, image: Path | None = None) -> dict[str, Any]:
        """What the engine answers.

        Args:
            call: ``'detect'``: ``seconds`` from the image array to the boxes, ``boxes``,
                ``scores``, ``labels``; ``'dense'``: ``seconds`` of the dense part, from the
                network's input to the maps of the head; ``'profile'``: ``operations``, time and
                work of each; ``'memory'``: ``peak_rss_mb``, of the process so far, in MiB.
            image: an ``.npy`` file; all but ``'memory'`` want one.
        """
        return self._send(dict(call=call, image=image and str(image)))

    @property
    def pid(self) -> int:
        return self._process.pid

    def seconds(self, call: str, image: Path) -> float:
        """How long ``'detect'`` or ``'dense'`` took."""
        return float(self.ask(call, image)["seconds"])

    def images_per_second(self, images: Sequence[Path], workers: int, seconds: float) -> float:
        """Of so many images at a time, one thread each, during so many seconds."""
        command = dict(call="throughput", workers=workers, seconds=seconds)
        answer = self._send(command | dict(images=[str(image) for image in images]))
        return float(answer["images_per_second"])

    def close(self) -> None:
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            raise EngineError(f"{self.name}: its process ended with {code}; {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EngineError(f"{self.name}: {answer['error']} (log: {self._log})")
        return answer

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-LOG_LINES:]) or "it said nothing"
