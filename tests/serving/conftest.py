"""A server in a thread of this process, on a port that was free, and a client for it."""

import http.client
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.testing import random_image, tiny_artifact
from lbwdet.serving.page import add_page
from lbwdet.serving.serve import app_of
from lbwdet.serving.server import Server, listening
from lbwdet.serving.settings import ServingSettings
from lbwdet.serving.workers import Task, Workers

PATIENCE = 60.0  # seconds; only a test that fails waits for so long

needs_engine = pytest.mark.skipif(library_path() is None, reason="the native engine is not built")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A running server."""

    port: int
    workers: Workers

    def ask(
        self,
        path: str = "/detect",
        body: bytes | None = None,
        method: str | None = None,
        **headers: str,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            named = {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request(method or ("GET" if body is None else "POST"), path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def counted(self) -> dict[str, float]:
        """What /metrics says, by name and labels."""
        lines = self.ask("/metrics").body.decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(number) for name, _, number in pairs}

    def wait_for(self, name: str, value: float) -> None:
        """Until /metrics says so."""
        wait_until(lambda: self.counted().get(name) == value)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """All workers have something else to do, meanwhile."""
        gate, count = threading.Event(), self.workers.count
        begun = [threading.Event() for _ in range(count)]

        def wait(event: threading.Event) -> None:
            event.set()
            assert gate.wait(PATIENCE)

        futures = [
            self.workers.submit(Task(lambda task, detector, event=event: wait(event)))
            for event in begun
        ]
        try:
            assert all(event.wait(PATIENCE) for event in begun)
            yield
        finally:
            gate.set()
            for future in futures:
                future.result(PATIENCE)


def wait_until(condition: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if condition():
            return
        waited.wait(0.02)
    pytest.fail("it never came")


def encoded(image: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    """A file of an image [H, W, 3] in the order blue, green, red."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., ::-1].copy()).save(buffer, format, **options)
    return buffer.getvalue()


IMAGE = random_image(3, 60, 80)
FILE = encoded(IMAGE)


@pytest.fixture(scope="session")
def artifact_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "tiny.lbw"
    write_artifact(path, tiny_artifact())
    return path


@contextmanager
def running(path: Path, page: Path | None = None, **limits: Any) -> Iterator[Served]:
    """A server with these settings; it answers what it has before the block ends."""
    settings = ServingSettings(**{"threads": 1, "score_thr": 0.1, **limits})
    artifact = tiny_artifact()
    workers = Workers(artifact, settings.workers, settings.threads_of_each)
    app = app_of(path, artifact.classes, workers, settings)
    add_page(app, page, path)
    server = Server(app, settings.timeout)
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Served(port, workers)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            workers.close()
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def served(artifact_path: Path) -> Iterator[Served]:
    """One that several tests ask, with small limits."""
    with running(artifact_path, max_bytes=100_000, max_pixels=10_000, queue=4) as server:
        yield server
