"""A progress line on stderr, with the time left."""

import sys
import time
from typing import TextIO


class Progress:
    """Counts steps and says how long the rest will take.

    A terminal sees one line that is rewritten; a log file gets a line every
    ``log_every`` seconds and the last one.

    Example:
        >>> with Progress("detect", total=2, stream=sys.stdout) as progress:
        ...     progress.step()
        ...     progress.step()  # doctest: +ELLIPSIS
        detect  2/2  ...
    """

    def __init__(
        self, label: str, total: int, stream: TextIO | None = None, log_every: float = 15
    ) -> None:
        self.label, self.total, self.done = label, total, 0
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.interval = 0.2 if self.terminal else log_every
        self.started = self.shown = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.terminal and self.done:
            print(file=self.stream)

    def step(self) -> None:
        """One more is done."""
        self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        """So many are done."""
        self.done = done
        now = time.monotonic()
        if now - self.shown < self.interval and self.done != self.total:
            return
        self.shown = now
        elapsed = now - self.started
        left = elapsed / max(1, self.done) * max(0, self.total - self.done)
        line = (
            f"{self.label}  {self.done}/{self.total}  {_clock(elapsed)} gone, {_clock(left)} left"
        )
        end = "" if self.terminal else "\n"
        print(f"\r\x1b[2K{line}" if self.terminal else line, end=end, file=self.stream, flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
