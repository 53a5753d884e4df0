"""What a server may take, and for how long."""

from dataclasses import dataclass

from lbwdet.deploy.runtime.native import available_threads
from lbwdet.errors import ConfigError
from lbwdet.limits import MAX_PIXELS

MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class ServingSettings:
    """Limits of a server. They bound its memory, too.

    A request holds a place from its headers to its answer; there are ``workers + queue`` of
    them, each with a body of at most ``max_bytes``, and ``workers`` decoded images.

    Attributes:
        workers: images that are looked at at the same time, each by an engine of its own.
        threads: of each engine; None: the cores, divided among the workers.
        queue: requests that may wait for a worker; one more is refused.
        max_bytes: of a request's body, whichever way the image is in it.
        max_pixels: of an image.
        timeout: seconds from a request's headers to its answer.
        score_thr: boxes from this score on, unless a request says another.

    Raises:
        ConfigError: one of them is out of range.
    """

    workers: int = 1
    threads: int | None = None
    queue: int = 16
    max_bytes: int = 16 << 20
    max_pixels: int = 1 << 26
    timeout: float = 30.0
    score_thr: float = 0.3

    def __post_init__(self) -> None:
        cores = available_threads()
        self._check("workers", 1, cores)
        if self.threads is not None:
            self._check("threads", 1, cores)
        self._check("queue", 0, 1 << 16)
        self._check("max_bytes", 1, MOST_BYTES)
        self._check("max_pixels", 1, MAX_PIXELS)
        self._check("timeout", 0.001, 86_400)
        self._check("score_thr", 0, 1)

    @property
    def threads_of_each(self) -> int:
        """Threads of one worker's engine."""
        return self.threads or max(1, available_threads() // self.workers)

    @property
    def places(self) -> int:
        """Requests that are in the house at the same time."""
        return self.workers + self.queue

    def _check(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not least <= value <= most:
            raise ConfigError(f"{name}={value}: give {least:,} to {most:,}")
