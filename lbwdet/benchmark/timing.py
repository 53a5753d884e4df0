"""Engines side by side, each in a process of its own: their times, and their accuracy."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.benchmark.engines import NATIVE, REFERENCE
from lbwdet.benchmark.process import EngineError, EngineProcess, EngineSpec
from lbwdet.benchmark.settings import Bench
from lbwdet.errors import LBWError
from lbwdet.measuring.accuracy import detect_all, evaluate
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.quiet import QuietCheck
from lbwdet.measuring.speed import Latency, measure
from lbwdet.measuring.testset import TestSet
from lbwdet.progress import Progress

THROUGHPUT_ROUNDS = 5
THROUGHPUT_SECONDS = 2.0  # of each engine in a round
Details = dict[str, dict[str, Any]]  # of each engine, by its name
Timed = tuple[dict[str, Details], Details, dict[str, Any] | None]


def time_engines(
    bench: Bench,
    specs: Sequence[EngineSpec],
    images: Sequence[np.ndarray],
    on_timed: Callable[[Timed], object],
) -> Timed:
    """Latencies by part and engine; what else is known of each engine; whether it was quiet.

    Args:
        bench, specs: what runs, and how.
        images: given to each engine.
        on_timed: gets what is known when latencies are, and throughput, which takes as long
            again, is still to be measured.

    Raises:
        LBWError: no engine can run.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = [folder / f"{index}.npy" for index in range(len(images))]
        for file, image in zip(files, images, strict=True):
            np.save(file, image)
        processes = _load(bench, specs, files[0], stack)
        details: Details = {
            name: dict(load_s=one.load_s, file_bytes=one.spec.file_bytes)
            for name, one in processes.items()
        }
        quiet = noise = None
        if bench.settings.quiet_check:
            quiet = QuietCheck(process.pid for process in processes.values())
        parts = _parts(
            {name: one for name, one in processes.items() if name != REFERENCE},
            files,
            bench.settings.rounds,
        )
        if quiet is not None:
            quiet.finish()
            noise = quiet.report(_samples(parts["end_to_end"], len(files)))
        for name, process in processes.items():  # of one image at a time
            details[name]["peak_rss_mb"] = process.ask("memory")["peak_rss_mb"]
        if bench.settings.throughput:
            on_timed((parts, details, noise))
            for name, rates in _throughput(bench, processes, files).items():
                details[name]["images_per_second"] = rates
        if bench.settings.profile and NATIVE in processes:
            details[NATIVE]["profile"] = processes[NATIVE].ask("profile", files[0])["operations"]
    return parts, details, noise


def _samples(engines: Details, images: int) -> dict[str, np.ndarray]:
    """Seconds [rounds, images] of each."""
    return {name: np.reshape(entry["samples_s"], (-1, images)) for name, entry in engines.items()}


def _load(
    bench: Bench, specs: Sequence[EngineSpec], image: Path, stack: contextlib.ExitStack
) -> dict[str, EngineProcess]:
    """The engines that a first image goes through: some get ready only then."""
    processes: dict[str, EngineProcess] = {}
    for spec in specs:
        log = bench.folder / "logs" / f"{spec.name}.log"
        try:
            process = stack.enter_context(EngineProcess(spec, bench.settings.num_threads, log))
            process.ask("detect", image)
        except EngineError as error:
            bench.unavailable[spec.name] = str(error)
        else:
            processes[spec.name] = process
    if not processes:
        reasons = "; ".join(f"{name}: {why}" for name, why in bench.unavailable.items())
        raise LBWError(f"no engine can run: {reasons}")
    return processes


def _parts(
    timed: Mapping[str, EngineProcess], files: Sequence[Path], rounds: int
) -> dict[str, Details]:
    """Both parts of all engines in one go: a busy minute is one of both."""
    calls = {
        (part, name): partial(_steady, one, call)
        for part, call in (("dense", "dense"), ("end_to_end", "detect"))
        for name, one in timed.items()
        if call == "detect" or one.spec.dense
    }
    parts: dict[str, Details] = dict(dense={}, end_to_end={})
    if not calls:
        return parts
    with Progress("timing", len(calls) * len(files) * (rounds + 1)) as progress:
        times = measure(calls, files, 1, rounds, progress=progress.step)
    for (part, name), latency in times.items():
        parts[part][name] = _seconds(latency)
    return parts


def _steady(process: EngineProcess, call: str, image: Path) -> float:
    """Seconds, as in a stream of images: other engines have left their values in the caches, and
    their threads may still spin, so that a first call is not counted."""
    process.seconds(call, image)
    return process.seconds(call, image)


def _throughput(
    bench: Bench, processes: Mapping[str, EngineProcess], files: Sequence[Path]
) -> dict[str, list[float]]:
    """Images per second of each engine that can, in each round."""
    timed = {name: one for name, one in processes.items() if one.spec.parallel}
    rates: dict[str, list[float]] = {name: [] for name in timed}
    with Progress("throughput", len(timed) * THROUGHPUT_ROUNDS) as progress:
        for _ in range(THROUGHPUT_ROUNDS):
            for name, one in timed.items():
                workers = bench.settings.num_threads
                rates[name].append(one.images_per_second(files, workers, THROUGHPUT_SECONDS))
                progress.step()
    return rates


def _seconds(latency: Latency) -> dict[str, Any]:
    return dict(
        median_s=latency.median / 1e3,
        p10_s=latency.p10 / 1e3,
        p90_s=latency.p90 / 1e3,
        samples_s=[value / 1e3 for value in latency.milliseconds],
    )


@dataclasses.dataclass(frozen=True)
class _Remote:
    """A loaded engine that is given image arrays; ``file`` is where they pass through."""

    name: str
    process: EngineProcess
    file: Path

    def detect(self, image: np.ndarray) -> Detections:
        np.save(self.file, image)
        answer = self.process.ask("detect", self.file)
        return Detections(
            boxes=np.array(answer["boxes"], np.float32).reshape(-1, 4),
            scores=np.array(answer["scores"], np.float32),
            labels=np.array(answer["labels"], np.int64),
        )


def engine_accuracy(bench: Bench, spec: EngineSpec, test_set: TestSet) -> dict[str, Any]:
    """The mAP of an engine in both protocols, with the preprocessing of its own model."""
    own = dataclasses.replace(spec, arguments=spec.arguments | dict(input_size=None))
    log = bench.folder / "logs" / f"{spec.name}-accuracy.log"
    with (
        EngineProcess(own, bench.settings.num_threads, log) as process,
        tempfile.TemporaryDirectory() as scratch,
    ):
        found = detect_all(_Remote(spec.name, process, Path(scratch) / "image.npy"), test_set)
    return evaluate(found, test_set.truths, test_set.classes).maps
