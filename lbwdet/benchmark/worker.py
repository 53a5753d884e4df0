"""One engine in one process: reads commands from stdin, answers on stdout, a JSON line each.

Run by path, not as a module: nothing is imported but what the engine itself needs, so that
load time and memory are the engine's own.
"""

import importlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


def serve(description: dict[str, Any], commands: Any, answer: Any) -> None:
    """Loads the engine, says so, and executes commands until the input ends.

    Args:
        description: ``module`` and ``attribute`` of the engine's class, and its ``arguments``.
        commands: lines such as ``{"call": "detect", "image": "one.npy"}``.
        answer: called with a dict for each.
    """
    module = importlib.import_module(description["module"])
    engine = getattr(module, description["attribute"])(**description["arguments"])
    answer(dict(ready=True))
    lanes: list[Callable[[Any], object]] = []
    for line in commands:
        command = json.loads(line)
        if command["call"] == "memory":
            answer(dict(peak_rss_mb=peak_rss_mb()))
            continue
        if command["call"] == "throughput":
            images = [np.load(file, allow_pickle=False) for file in command["images"]]
            lanes = lanes or engine.in_parallel(command["workers"])
            answer(dict(images_per_second=images_per_second(lanes, images, command["seconds"])))
            continue
        image = np.load(command["image"], allow_pickle=False)
        if command["call"] == "dense":
            answer(dict(seconds=engine.dense(image)))
        elif command["call"] == "profile":
            answer(dict(operations=engine.profile(image)))
        else:
            start = time.perf_counter()
            boxes, scores, labels = engine.detect(image)
            seconds = time.perf_counter() - start
            answer(
                dict(
                    seconds=seconds,
                    boxes=boxes.tolist(),
                    scores=scores.tolist(),
                    labels=labels.tolist(),
                )
            )


def images_per_second(
    lanes: Sequence[Callable[[Any], object]], images: Sequence[Any], seconds: float
) -> float:
    """How many images are through when all lanes work for so long, each on an image at a time."""

    def work(detect: Callable[[Any], object]) -> tuple[int, float]:
        done = 0
        while (now := time.perf_counter()) < end:
            detect(images[done % len(images)])
            done += 1
        return done, now

    with ThreadPoolExecutor(len(lanes)) as pool:
        for detect in lanes:  # what an engine gets ready for a size, it has then
            for image in images:
                detect(image)
        start = time.perf_counter()
        end = start + seconds
        found = list(pool.map(work, lanes))
    return sum(done / (last - start) for done, last in found)


def peak_rss_mb() -> float:
    """Peak resident memory of this process, in MiB."""
    try:
        with open("/proc/self/status") as status:
            # Not ru_maxrss, which starts with what the parent had when it forked.
            return next(int(line.split()[1]) for line in status if line[:6] == "VmHWM:") / 1024
    except (OSError, StopIteration):  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(value: dict[str, Any]) -> None:
        print(json.dumps(value), file=answers, flush=True)

    try:
        serve(json.loads(sys.stdin.readline()), sys.stdin, answer)
    except Exception as error:  # any engine, any reason: the parent reports it
        traceback.print_exc()
        answer(dict(error=f"{type(error).__name__}: {error}".splitlines()[0]))


if __name__ == "__main__":
    main()
