"""Latency of several detectors beside one another, on a machine that is never quite quiet."""

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import torch

from lbwdet.errors import ConfigError

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Latency:
    """Milliseconds per call: every one that counted, rounded to microseconds, and their summary."""

    median: float
    p10: float
    p90: float
    milliseconds: list[float]


def measure(
    callables: Mapping[Name, Callable[[Any], Any]],
    inputs: Sequence[Any],
    warmup: int = 1,
    rounds: int = 5,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[], None] = lambda: None,
) -> dict[Name, Latency]:
    """Times every callable on every input, in turns.

    In each round every input is given to every callable before the next input
    is taken, in an order of its own (:func:`balanced_order`). A machine that
    slows down for a second thereby slows all of them alike, and none always
    follows the same one, whose threads may still spin, or whose values fill
    the cache.

    Args:
        callables: What to time, by name. Called with one input at a time. One that
            returns a float has timed itself: seconds.
        inputs: The inputs; all callables get the same.
        warmup: Rounds over all inputs that are run but not counted.
        rounds: Rounds that count: each gives ``len(inputs)`` samples.
        clock: Seconds, monotonic.
        progress: Called after every timed call, warm-up included.

    Raises:
        ConfigError: There is nothing to time.
    """
    if not callables or not inputs or rounds < 1 or warmup < 0:
        raise ConfigError(
            f"nothing to time: {len(callables)} models, {len(inputs)} inputs, {rounds} rounds, "
            f"{warmup} warm-up rounds; give at least one of each (warm-up may be 0)"
        )
    names = list(callables)
    samples: dict[Name, list[float]] = {name: [] for name in names}
    turn = 0
    for round_index in range(warmup + rounds):
        for value in inputs:
            order = [names[index] for index in balanced_order(len(names), turn)]
            turn += 1
            for name in order:
                start = clock()
                own = callables[name](value)
                elapsed = own if isinstance(own, float) else clock() - start
                if round_index >= warmup:
                    samples[name].append(1000 * elapsed)
                progress()
    return {name: summarize(times) for name, times in samples.items()}


def balanced_order(count: int, turn: int) -> list[int]:
    """A permutation of ``range(count)`` for each turn 0, 1, 2, ...

    In ``2 * count`` turns everyone is at each place equally often, and follows each of the others
    equally often: a Williams design (E. J. Williams, Experimental designs balanced for the
    estimation of residual effects of treatments, 1949).
    """
    zigzag = [-(place // 2) if place % 2 == 0 else (place + 1) // 2 for place in range(count)]
    order = [(offset + turn) % count for offset in zigzag]
    return order[::-1] if turn // count % 2 else order


def summarize(milliseconds: Sequence[float]) -> Latency:
    """Median, 10th and 90th percentile (linear between samples)."""
    p10, median, p90 = np.percentile(milliseconds, (10, 50, 90))
    kept = [round(float(value), 3) for value in milliseconds]
    return Latency(float(median), float(p10), float(p90), kept)


@contextlib.contextmanager
def pinned_threads(threads: int) -> Iterator[None]:
    """Runs a block with torch and OpenCV at exactly this many threads each."""
    if threads < 1:
        raise ConfigError(f"threads={threads}: give at least 1")
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
