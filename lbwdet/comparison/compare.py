"""Several detectors, one test set, one protocol."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lbwdet.comparison.html_report import choose_images, write_report
from lbwdet.comparison.plots import contact_sheet, draw_plots
from lbwdet.comparison.results import ModelResult, markdown
from lbwdet.comparison.specs import ArtifactSpec, ModelSpec
from lbwdet.configs import Overrides
from lbwdet.errors import ConfigError
from lbwdet.figures import COLORS
from lbwdet.files import write_bytes, write_json, write_text
from lbwdet.measuring.accuracy import IOU_THRESHOLD, evaluate
from lbwdet.measuring.artifact_candidate import ArtifactCandidate
from lbwdet.measuring.cache import Cache
from lbwdet.measuring.candidates import Candidate, Detections, TorchCandidate
from lbwdet.measuring.environment import available_cpus, commit, cpu_name
from lbwdet.measuring.speed import Latency, measure, pinned_threads
from lbwdet.measuring.testset import TestSet, load_test_set
from lbwdet.progress import Progress
from lbwdet.tables import threads_text

LATENCY_IMAGES = 8
WARMUP_ROUNDS = 1
SHEET_IMAGES = 4


@dataclass(frozen=True)
class CompareSettings(Overrides):
    """How models are compared.

    Attributes:
        num_images: Use only the first of the test images.
        threads: CPU threads for everything; None: all that are available.
        latency_rounds: Rounds over the latency images; 0 measures no latency.
        device: Where the MMDetection models run.
        num_report_images: Images in the report, those first on which the models
            disagree most.
        test_config: Config whose test images are used; needed, or a test set, if no
            model comes with a config.

    Raises:
        ConfigError: A negative number of rounds.
    """

    num_images: int | None = None
    threads: int | None = None
    latency_rounds: int = 5
    device: str = "cpu"
    num_report_images: int = 24
    test_config: str | Path | None = None

    def __post_init__(self) -> None:
        if self.latency_rounds < 0:
            raise ConfigError(f"latency_rounds={self.latency_rounds}: give 0 (none) or more")

    @property
    def num_threads(self) -> int:
        return available_cpus() if self.threads is None else self.threads


def compare(
    models: Sequence[ModelSpec | ArtifactSpec | Candidate],
    out_dir: str | Path,
    settings: CompareSettings | None = None,
    test_set: TestSet | None = None,
) -> dict[str, Any]:
    """Measures accuracy, size and latency of ``models`` and writes tables, plots and a report.

    Detections and timings that an earlier call with the same inputs left in
    ``out_dir`` are reused.

    Args:
        models: Checkpoints to run in MMDetection, artifacts to run in an engine of
            their own, or anything that satisfies ``Candidate``.
        out_dir: Gets ``compare.json``, ``compare.md``, ``plots/``,
            ``detections.png`` and ``report/index.html``.
        settings: How to compare; the defaults without.
        test_set: The test images; by default those of the models' configs.

    Returns:
        The content of ``compare.json``.

    Raises:
        ConfigError: Two models share a name, or were not made for the same test.
        CheckpointError, DataError: See ``build_detector`` and ``load_test_set``.
    """
    out_dir, settings = Path(out_dir), settings or CompareSettings()
    _check_names([model.name for model in models])
    with pinned_threads(settings.num_threads):
        candidates, test_set = _prepare(models, test_set, settings)
        cache = Cache(out_dir / "cache")
        found, test_set = _detect(candidates, test_set, cache)
        indices = test_set.spread(LATENCY_IMAGES)
        latency = _latency(candidates, test_set, indices, settings, cache)
    results = [
        ModelResult(
            candidate,
            detections,
            evaluate(detections, test_set.truths, test_set.classes),
            latency.get(candidate.name),
            COLORS[index % len(COLORS)],
        )
        for index, (candidate, detections) in enumerate(zip(candidates, found, strict=True))
    ]
    comparison = dict(
        protocol=_protocol(test_set, indices, settings),
        dataset=test_set.description,
        num_images=len(test_set),
        left_out=list(test_set.left_out),
        commit=commit(),
        cpu=cpu_name(),
        threads=settings.num_threads,
        models=[result.to_json() for result in results],
    )
    _write(out_dir, comparison, results, test_set, settings.num_report_images)
    return comparison


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise ConfigError("nothing to compare: give at least one model")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ConfigError(f"two models are called {', '.join(twice)}; give each its own name")


def _prepare(
    models: Sequence[ModelSpec | ArtifactSpec | Candidate],
    test_set: TestSet | None,
    settings: CompareSettings,
) -> tuple[list[Candidate], TestSet]:
    """Builds every model before any of them runs, so that mistakes show at once."""
    if test_set is None and settings.test_config is not None:
        test_set = load_test_set(settings.load_config(settings.test_config), settings.num_images)
    first = "the given test set"
    candidates: list[Candidate] = []
    for model in models:
        if isinstance(model, ArtifactSpec):
            threads = settings.num_threads
            candidates.append(ArtifactCandidate(model.name, model.path, model.engine, threads))
            continue
        if not isinstance(model, ModelSpec):
            candidates.append(model)
            continue
        cfg = settings.load_config(model.config)
        own = load_test_set(cfg, settings.num_images)
        if test_set is None:
            test_set, first = own, model.name
        difference = test_set.difference(own)
        if difference:
            raise ConfigError(
                f"{first} and {model.name} are not tested on the same thing: {difference}. "
                "A comparison needs one test set; give both configs the same test_dataloader"
            )
        candidates.append(
            TorchCandidate(model.name, cfg, model.checkpoint, model.config, settings.device)
        )
    if test_set is None:
        raise ConfigError("no model comes with a config: say whose test images, --test-set CONFIG")
    if any(isinstance(candidate, ArtifactCandidate) for candidate in candidates):
        test_set.loader.check_deployable()
    for candidate in candidates:
        test_set.check_classes(candidate.name, candidate.classes)
    return candidates, test_set


def _detect(
    candidates: Sequence[Candidate], test_set: TestSet, cache: Cache
) -> tuple[list[list[Detections]], TestSet]:
    """Detections of each model, and the images on which all of them have run."""
    left_out: dict[int, str] = {}
    found = [cache.detect_all(candidate, test_set, left_out) for candidate in candidates]
    kept = [index for index in range(len(test_set)) if index not in left_out]
    return [[each[index] for index in kept] for each in found], test_set.without(left_out)


def _latency(
    candidates: Sequence[Candidate],
    test_set: TestSet,
    indices: Sequence[int],
    settings: CompareSettings,
    cache: Cache,
) -> dict[str, Latency]:
    rounds, threads = settings.latency_rounds, settings.num_threads
    if not rounds:
        return {}
    conditions = [rounds, WARMUP_ROUNDS, threads, cpu_name(), torch.__version__, list(indices)]
    models = [[candidate.name, candidate.digest] for candidate in candidates]
    key = json.dumps([conditions, models, test_set.files_digest])
    latency = cache.latency(key)
    if latency is None:
        images = [test_set.load(index) for index in indices]
        calls = {candidate.name: candidate.detect for candidate in candidates}
        total = len(calls) * len(images) * (WARMUP_ROUNDS + rounds)
        with Progress("latency", total) as progress:
            latency = measure(calls, images, WARMUP_ROUNDS, rounds, progress=progress.step)
        cache.keep_latency(key, latency)
    return latency


def _protocol(
    test_set: TestSet, indices: Sequence[int], settings: CompareSettings
) -> dict[str, str]:
    rounds, device = settings.latency_rounds, settings.device
    threads = threads_text(settings.num_threads)
    if rounds:
        sizes = sorted({test_set.load(index).shape[1::-1] for index in indices})
        spans = [f"{width}x{height}" for width, height in sizes]
        shown = spans[0] if len(spans) == 1 else f"{spans[0]} to {spans[-1]}"
        latency = (
            f"Latency: image array in, boxes out (preprocessing, network, NMS), on {device}, "
            f"batch 1, {len(indices)} images of {shown} pixels, {rounds} rounds interleaved "
            f"over the models after {WARMUP_ROUNDS} warm-up round, torch {torch.__version__} and "
            f"OpenCV pinned to {threads}; median, 10th and 90th percentile."
        )
    else:
        latency = f"Latency: not measured (engine on {device})."
    return dict(
        accuracy=(
            f"Accuracy: MMDetection's VOC metric at IoU {IOU_THRESHOLD}, 11-point and area from "
            "the same detections, mean over the classes with objects; engine torch: fake-quantized "
            "weights in eval mode; engines native and reference: the exported integers."
        ),
        size=(
            "Size: codes bit-packed at their bit width, 1 byte per scale exponent; biases, "
            "batch norm and float weights 4 bytes each; of an artifact, the whole file."
        ),
        latency=latency,
    )


def _write(
    out_dir: Path,
    comparison: dict[str, Any],
    results: Sequence[ModelResult],
    test_set: TestSet,
    num_report_images: int,
) -> None:
    write_text(out_dir / "compare.md", markdown(comparison))
    write_json(out_dir / "compare.json", comparison)
    plots = draw_plots(results)
    for name, png in plots.items():
        write_bytes(out_dir / "plots" / f"{name}.png", png)
    chosen = choose_images(results, test_set, num_report_images)
    sheet = contact_sheet(results, test_set, chosen[:SHEET_IMAGES])
    write_bytes(out_dir / "detections.png", sheet)
    write_report(out_dir / "report" / "index.html", comparison, results, test_set, chosen, plots)
