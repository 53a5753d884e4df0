"""From a request to its answer: who may come in, who waits, and for how long."""

import asyncio
import io
import math
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from lbwdet.deploy.runtime.detector import Detector
from lbwdet.deploy.runtime.native_library import NativeError
from lbwdet.errors import DataError
from lbwdet.images import TooManyPixels, UnknownFormat, decode_image
from lbwdet.serving.answers import image_json
from lbwdet.serving.metrics import Metrics
from lbwdet.serving.refusal import CLIENT_LEFT, Refused
from lbwdet.serving.request_body import Receive, check_length, read_body, until_left
from lbwdet.serving.request_image import check_type, image_file
from lbwdet.serving.settings import ServingSettings
from lbwdet.serving.workers import Task, Workers

Value = TypeVar("Value")
_PATIENCE = 0.05  # seconds between two tries to end a run


class Service:
    """Answers requests within limits.

    Every request is answered once: by boxes, or by a :class:`Refused` that says why not. One that
    has a place keeps it until a worker is through with it, also if its client has left or its
    time is up, so that memory is bounded whatever clients do.

    Args:
        workers: look at the images.
        settings: the limits.
        metrics: are kept up to date.
    """

    def __init__(self, workers: Workers, settings: ServingSettings, metrics: Metrics) -> None:
        self._workers = workers
        self._settings = settings
        self._metrics = metrics
        self._taken = 0  # places; changed on the event loop alone
        self._seconds = 0.0  # that a worker takes for an image, of late
        self._ending: set[asyncio.Task[None]] = set()
        metrics.places.set(settings.places)

    async def detect(
        self, headers: tuple[str, str | None], receive: Receive, score: float | None
    ) -> bytes:
        """The JSON of an :class:`~lbwdet.serving.answers.ImageAnswer`.

        Args:
            headers: Content-Type, '' if there is none, and Content-Length.
            receive: the request's body, as ASGI has it.
            score: threshold; None: that of the settings.

        Raises:
            Refused: 400 no image, 408 the body did not come in time, 413 too many bytes or
                pixels, 415 of an unknown kind, 429 no place is free, 503 no worker was free in
                time, 504 the detector was not through in time.
        """
        start = time.perf_counter()
        status = 500
        try:
            answer = await self._answer(headers, receive, score, start + self._settings.timeout)
            status = 200
            self._metrics.seconds.observe(time.perf_counter() - start)
            return answer
        except Refused as refusal:
            status = refusal.status
            raise
        finally:
            self._metrics.requests.labels(str(status)).inc()

    async def _answer(
        self,
        headers: tuple[str, str | None],
        receive: Receive,
        score: float | None,
        deadline: float,
    ) -> bytes:
        content_type, length = headers
        check_type(content_type)
        check_length(length, self._settings.max_bytes)
        self._enter()
        try:
            body = await self._in_time(read_body(receive, self._settings.max_bytes), deadline)
        except BaseException:
            self._leave()
            raise
        threshold = self._settings.score_thr if score is None else score
        task = Task[bytes](
            lambda task, detector: self._look(task, detector, content_type, body, threshold)
        )
        future = asyncio.wrap_future(self._workers.submit(task))
        future.add_done_callback(self._leave)
        left = asyncio.ensure_future(until_left(receive))
        either: set[asyncio.Future[Any]] = {future, left}
        try:
            remaining = max(0.0, deadline - time.perf_counter())
            await asyncio.wait(either, timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return future.result()
            if left.done():
                raise Refused(CLIENT_LEFT, "the client left before its answer was there")
            raise self._too_late(task.begun)
        finally:
            left.cancel()
            if not future.done():
                task.give_up()
                ending = asyncio.ensure_future(_end(task, future))
                self._ending.add(ending)  # the loop alone would not keep it
                ending.add_done_callback(self._ending.discard)

    def _look(
        self, task: Task[bytes], detector: Detector, content_type: str, body: bytes, score: float
    ) -> bytes:
        """In a worker's thread."""
        start = time.perf_counter()
        file = io.BytesIO(image_file(content_type, body))
        try:
            image = decode_image(file, max_pixels=self._settings.max_pixels)
        except (UnknownFormat, TooManyPixels) as error:
            raise Refused(413 if isinstance(error, TooManyPixels) else 415, str(error)) from error
        except DataError as error:
            raise Refused(400, str(error)) from error
        decoded = time.perf_counter()
        task.check()
        try:
            found = detector(image).above(score)
        except NativeError as error:
            task.check()
            # Of the program, everything was tried when the server began: it is the image's size.
            raise Refused(413, str(error)) from error
        answer = image_json((image.shape[0], image.shape[1]), found)
        end = time.perf_counter()
        self._metrics.decoding.observe(decoded - start)
        self._metrics.engine.observe(end - decoded)
        self._metrics.detections.inc(len(found))
        self._seconds += (end - start - self._seconds) / 16
        return answer

    def _enter(self) -> None:
        if self._taken >= self._settings.places:
            raise Refused(
                429,
                f"{self._taken} requests are waiting or worked on, more are not taken",
                self._soon(),
            )
        self._taken += 1
        self._metrics.places_taken.set(self._taken)

    def _leave(self, _: object = None) -> None:
        self._taken -= 1
        self._metrics.places_taken.set(self._taken)

    async def _in_time(self, coming: Awaitable[Value], deadline: float) -> Value:
        try:
            return await asyncio.wait_for(coming, max(0.0, deadline - time.perf_counter()))
        except asyncio.TimeoutError as error:
            seconds = f"{self._settings.timeout:g}"
            raise Refused(408, f"the body was not here after {seconds} seconds") from error

    def _too_late(self, begun: bool) -> Refused:
        seconds = f"{self._settings.timeout:g}"
        if begun:
            return Refused(504, f"the image took longer than {seconds} seconds")
        return Refused(503, f"no worker was free within {seconds} seconds", self._soon())

    def _soon(self) -> int:
        """Seconds after which those who are here now will have been answered."""
        rounds = self._taken / self._settings.workers
        return max(1, math.ceil(rounds * self._seconds))


async def _end(task: Task[bytes], future: "asyncio.Future[bytes]") -> None:
    """Waits for the end of what was given up, and asks again for it."""
    while not future.done():
        await asyncio.wait({future}, timeout=_PATIENCE)
        task.give_up()
    future.exception()  # or the loop complains that nobody asked
