"""Who is let in, who waits, and what becomes of those who leave or are late."""

import asyncio
import threading

import pytest

import lbwdet.serving.service
from lbwdet.deploy.runtime.detector import Detector
from lbwdet.deploy.runtime.native_library import NativeError
from lbwdet.deploy.testing import tiny_artifact
from lbwdet.serving.answers import image_json
from lbwdet.serving.metrics import Metrics
from lbwdet.serving.refusal import CLIENT_LEFT, Refused
from lbwdet.serving.service import Service
from lbwdet.serving.settings import ServingSettings
from lbwdet.serving.workers import Task, Workers
from tests.serving.conftest import FILE, IMAGE, PATIENCE, needs_engine

pytestmark = needs_engine
HEADERS = "image/png", None


@pytest.fixture(scope="module")
def workers():
    workers = Workers(tiny_artifact(), 1, 1)
    yield workers
    workers.close()


class Client:
    """Sends a body, and stays, unless told otherwise."""

    def __init__(self, body: bytes = FILE, complete: bool = True) -> None:
        self._body, self._complete = body, complete
        self.leave = asyncio.Event()
        self._sent = False

    async def __call__(self):
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": self._body, "more_body": not self._complete}
        await self.leave.wait()
        return {"type": "http.disconnect"}


def service_of(workers, **limits):
    metrics = Metrics()
    settings = ServingSettings(**{"score_thr": 0.1, "queue": 2, **limits})
    return Service(workers, settings, metrics), metrics


def counted(metrics, status):
    return metrics.requests.labels(str(status))._value.get()


async def refusal(coroutine):
    with pytest.raises(Refused) as caught:
        await coroutine
    return caught.value


class Blocked:
    """While it lasts, the only worker is busy."""

    def __init__(self, workers):
        self._gate, begun = threading.Event(), threading.Event()

        def wait(task, detector):
            begun.set()
            assert self._gate.wait(PATIENCE)

        self._future = workers.submit(Task(wait))
        assert begun.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._gate.set()
        self._future.result(PATIENCE)


@pytest.mark.parametrize("score", [None, 0.0, 0.3])
def test_the_boxes_of_a_direct_call(workers, score):
    service, metrics = service_of(workers)
    found = Detector(tiny_artifact())(IMAGE).above(0.1 if score is None else score)
    answer = asyncio.run(service.detect(HEADERS, Client(), score))
    assert answer == image_json(IMAGE.shape[:2], found) and len(found) > 0
    assert counted(metrics, 200) == 1
    assert metrics.detections._value.get() == len(found)


def test_more_than_there_are_places_for(workers):
    service, metrics = service_of(workers)

    async def ask():
        with Blocked(workers):
            waiting = [
                asyncio.ensure_future(service.detect(HEADERS, Client(), None)) for _ in range(3)
            ]
            await asyncio.sleep(0)
            refused = await refusal(service.detect(HEADERS, Client(), None))
        return refused, await asyncio.gather(*waiting)

    refused, answers = asyncio.run(ask())
    assert refused.status == 429 and refused.retry_after >= 1
    assert len({*answers}) == 1
    assert counted(metrics, 429) == 1 and counted(metrics, 200) == 3
    assert metrics.places_taken._value.get() == 0


def test_a_body_that_does_not_come(workers):
    service, metrics = service_of(workers, timeout=0.05)
    late = asyncio.run(refusal(service.detect(HEADERS, Client(complete=False), None)))
    assert late.status == 408
    assert metrics.places_taken._value.get() == 0


def test_no_worker_in_time(workers):
    service, metrics = service_of(workers, timeout=0.05)

    async def ask():
        with Blocked(workers):
            late = await refusal(service.detect(HEADERS, Client(), None))
            # It would not do to forget a body that is still in the queue.
            assert metrics.places_taken._value.get() == 1
        while metrics.places_taken._value.get():
            await asyncio.sleep(0.01)
        return late

    late = asyncio.run(ask())
    assert late.status == 503 and late.retry_after >= 1 and "no worker was free" in str(late)


def test_an_image_that_takes_too_long(workers, monkeypatch):
    gate = threading.Event()

    def slow(file, max_pixels):
        assert gate.wait(PATIENCE)
        return IMAGE

    monkeypatch.setattr(lbwdet.serving.service, "decode_image", slow)
    service, metrics = service_of(workers, timeout=0.2)

    async def ask():
        late = await refusal(service.detect(HEADERS, Client(), None))
        gate.set()
        while metrics.places_taken._value.get():
            await asyncio.sleep(0.01)
        return late

    late = asyncio.run(ask())
    assert late.status == 504 and "took longer than 0.2 seconds" in str(late)
    assert metrics.engine._sum.get() == 0  # the detector did not even begin


def test_a_client_that_leaves_while_it_waits(workers):
    service, metrics = service_of(workers)

    async def ask():
        client = Client()
        with Blocked(workers):
            waiting = asyncio.ensure_future(service.detect(HEADERS, client, None))
            await asyncio.sleep(0)
            client.leave.set()
            left = await refusal(waiting)
        while metrics.places_taken._value.get():
            await asyncio.sleep(0.01)
        return left

    assert asyncio.run(ask()).status == CLIENT_LEFT
    assert metrics.engine._sum.get() == 0


@pytest.mark.parametrize(
    ("limits", "body", "status"),
    [
        ({}, b"hello", 415),
        ({}, FILE[: len(FILE) // 2], 400),
        ({}, b"", 400),
        (dict(max_pixels=100), FILE, 413),
        (dict(max_bytes=100), FILE, 413),
    ],
)
def test_what_is_no_image_for_it(workers, limits, body, status):
    service, metrics = service_of(workers, **limits)
    assert asyncio.run(refusal(service.detect(HEADERS, Client(body), None))).status == status
    assert counted(metrics, status) == 1
    assert metrics.places_taken._value.get() == 0


def test_an_image_that_the_engine_has_no_memory_for():
    wide = workers_for_square_images()  # in the network it is larger than a square one
    service, _ = service_of(wide)
    try:
        refused = asyncio.run(refusal(service.detect(HEADERS, Client(), None)))
    finally:
        wide.close()
    assert refused.status == 413 and "more than the limit" in str(refused)


def workers_for_square_images() -> Workers:
    """With just so much memory that they begin, which they do by a square image."""
    memory = 1 << 16
    while True:
        try:
            return Workers(tiny_artifact(), 1, 1, memory)
        except NativeError:
            memory += memory // 16


def test_the_type_is_looked_at_before_the_body(workers):
    service, _ = service_of(workers)

    async def never():
        pytest.fail("the body was asked for")

    for headers, status in ((("text/plain", None), 415), (("image/png", "999999999"), 413)):
        assert asyncio.run(refusal(service.detect(headers, never, None))).status == status
