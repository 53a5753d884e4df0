"""Whether the machine was quiet while something was timed."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PROC = Path("/proc")
MAX_LOAD = 0.1  # of one CPU, by others
MAX_SPREAD = 0.3  # of the median, from the 10th to the 90th percentile
SECONDS = 1.0  # to look at the machine before
_IDLE = (3, 4)  # columns of /proc/stat
_GUEST = 8  # what follows is counted in the columns before, too


class QuietCheck:
    """CPU time that others used: before, and while these processes were timed.

    Args:
        own: process ids that are timed; this process is one of them.
        proc: where the kernel tells of processes.

    Attributes:
        before, during: CPUs that others kept busy, on average; None where the system does not say.
    """

    def __init__(self, own: Iterable[int], proc: Path = PROC, seconds: float = SECONDS) -> None:
        self._own = [*own, os.getpid()]
        self._proc = proc
        self.during: float | None = None
        start = self._others()
        time.sleep(seconds)
        self.before = self._since(start)
        self._start = self._others()

    def finish(self) -> None:
        """Ends ``during``; the processes have to be alive still."""
        self.during = self._since(self._start)

    def report(self, samples: dict[str, np.ndarray]) -> dict[str, Any]:
        """What was found, as JSON has it.

        Args:
            samples: seconds [rounds, images] of each that was timed.

        Returns:
            ``load_before``, ``load_during``; ``spread`` of each: from the 10th to the 90th
            percentile of its times, as shares of the median of the same image; ``why_not``: what
            speaks against a quiet machine, a sentence each.
        """
        spreads = {name: round(spread(times), 3) for name, times in samples.items()}
        reasons = [
            f"others kept {load:.2f} CPUs busy {when}"
            for when, load in (("before", self.before), ("during the timing", self.during))
            if load is not None and load > MAX_LOAD
        ]
        if self.during is None:
            reasons.append("the system does not say how busy it is")
        reasons += [
            f"{name} spreads by {value:.0%} of its median"
            for name, value in spreads.items()
            if value > MAX_SPREAD
        ]
        return dict(
            load_before=self.before, load_during=self.during, spread=spreads, why_not=reasons
        )

    def _others(self) -> tuple[float, float] | None:
        """The time, and seconds of CPU time that others have had so far."""
        try:
            ticks = [int(text) for text in _words(self._proc / "stat")[1:]]
            busy = sum(ticks[:_GUEST]) - sum(ticks[column] for column in _IDLE)
            own = sum(self._of(process) for process in self._own)
        except (OSError, ValueError, IndexError):  # not Linux
            return None
        return time.monotonic(), (busy - own) / os.sysconf("SC_CLK_TCK")

    def _of(self, process: int) -> int:
        # After the name, which may hold anything but ends with the last parenthesis.
        text = (self._proc / str(process) / "stat").read_text().rpartition(")")[2]
        user, system = text.split()[11:13]
        return int(user) + int(system)

    def _since(self, start: tuple[float, float] | None) -> float | None:
        end = self._others()
        if start is None or end is None:
            return None
        # Counted in hundredths of a second, by several clocks: it may come out below zero.
        return round(max((end[1] - start[1]) / (end[0] - start[0]), 0.0), 3)


def spread(times: Sequence[Sequence[float]] | np.ndarray) -> float:
    """From the 10th to the 90th percentile of [rounds, images], in medians of the same image."""
    relative = np.asarray(times) / np.median(times, axis=0)
    low, high = np.percentile(relative, (10, 90))
    return float(high - low)


def _words(path: Path) -> list[str]:
    """Of the first line."""
    return path.read_text().splitlines()[0].split()
