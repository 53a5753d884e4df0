"""The benchmark itself: takes images, has the engines timed, writes down what was found."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from lbwdet.benchmark.engines import TORCH, engine_specs
from lbwdet.benchmark.report import markdown, write_plots
from lbwdet.benchmark.settings import Bench, BenchmarkSettings
from lbwdet.benchmark.timing import Timed, engine_accuracy, time_engines
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.errors import ConfigError, LBWError
from lbwdet.files import write_json, write_text
from lbwdet.images import find_images, read_image
from lbwdet.measuring.calibration_images import calibration_images
from lbwdet.measuring.environment import commit, cpu_name
from lbwdet.measuring.testset import TestSet, load_test_set

NUM_IMAGES = 4
NOISE_SIZE = (600, 1000)


def benchmark(
    artifact: str | Path,
    settings: BenchmarkSettings,
    out_dir: str | Path = "work_dirs/benchmark",
) -> dict[str, Any]:
    """Times an artifact's engines and its peers on the same images, in turns.

    Every engine runs in a process of its own, with its threads pinned. The peers
    run the float detector of the settings: in float32, and in the int8 that their own
    post-training quantizers make of it.

    Args:
        artifact: ``model.lbw``.
        settings: which engines, on which images, how often.
        out_dir: gets ``benchmark.json``, ``benchmark.md``, ``plots/`` and the engines' logs.

    Returns:
        The content of ``benchmark.json``. Engines that could not run are under
        ``unavailable`` with the reason.

    Raises:
        LBWError: with a message for the user.
    """
    classes = {str(path): read_artifact(path).classes for path in (artifact, *settings.also)}
    rows = {Path(path).stem for path in classes}
    if len(rows) <= len(settings.also):
        given = ", ".join(map(str, (artifact, *settings.also)))
        raise ConfigError(f"artifacts have rows by their names, which differ; given are {given}")
    bench = Bench(settings, Path(artifact).resolve(), Path(out_dir).resolve())
    cfg = test_set = None
    if settings.config is not None:
        cfg = settings.load_config(settings.config)
        if settings.accuracy or settings.source == "test":
            test_set = load_test_set(cfg)
            for path, names in classes.items():
                test_set.check_classes(path, names)
    images = _images(settings.source, test_set)
    source, calibration = _calibration(settings, cfg, images)
    specs = list(engine_specs(bench, calibration))

    def told(timed: Timed, accuracy_set: str | None = None) -> dict[str, Any]:
        parts, details, quiet = timed
        result = dict(
            **_conditions(bench),
            images=dict(source=settings.source, count=len(images)),
            calibration=dict(source=source, count=len(calibration)),
            rounds=settings.rounds,
            steady=True,  # each call behind one of the same engine, which is not counted
            quiet=quiet,
            accuracy_set=accuracy_set,
            part={
                part: dict(
                    engines={
                        name: times | dict(mAP_11point=None) | details[name]
                        for name, times in engines.items()
                    },
                    ratio_to_torch_fp32=_ratios(engines),
                )
                for part, engines in parts.items()
            },
            unavailable=bench.unavailable,
        )
        write_json(bench.folder / "benchmark.json", result)
        return result

    timed = time_engines(bench, specs, images, told)
    told(timed)  # before what may fail on an image
    accuracy_set = None
    if settings.accuracy and test_set is not None:
        measured = test_set.first(settings.num_accuracy_images)
        for spec in specs:
            if spec.name in timed[1]:
                try:
                    timed[1][spec.name] |= engine_accuracy(bench, spec, measured)
                except LBWError as error:  # of an image, say: what was timed stands
                    bench.unavailable[f"mAP of {spec.name}"] = str(error)
        accuracy_set = f"{test_set.description}, {len(measured)} images"
    result = told(timed, accuracy_set)
    write_text(bench.folder / "benchmark.md", markdown(result))
    write_plots(bench.folder / "plots", result)
    return result


def _images(source: str, test_set: TestSet | None) -> list[np.ndarray]:
    if source == "test":
        assert test_set is not None
        return [test_set.load(index) for index in test_set.spread(NUM_IMAGES)]
    if source == "noise":
        random = np.random.default_rng(0)
        return [random.integers(0, 256, (*NOISE_SIZE, 3), np.uint8) for _ in range(NUM_IMAGES)]
    return [read_image(path) for path in find_images(source)[:NUM_IMAGES]]


def _calibration(
    settings: BenchmarkSettings, cfg: Config | None, timed: list[np.ndarray]
) -> tuple[str, list[np.ndarray]]:
    """Where the images for the peers' int8 come from, and these."""
    source = settings.calibrate
    if source is None and settings.source == "test" and cfg and "train_dataloader" in cfg:
        source = "train"
    if source is None or cfg is None or not settings.calibrates:
        return source or "timed", timed
    paths = calibration_images(cfg, source, settings.num_calibrate)
    return source, [read_image(path) for path in paths]


def _conditions(bench: Bench) -> dict[str, Any]:
    settings, size = bench.settings, bench.settings.input_size
    checkpoint = settings.checkpoint
    return dict(
        input="x".join(map(str, size)) if size else "as each image gives",
        threads=settings.num_threads,
        cpu=cpu_name(),
        commit=commit(),
        artifact=dict(
            name=bench.artifact.name,
            bytes=bench.artifact.stat().st_size,
            sha256=hashlib.sha256(bench.artifact.read_bytes()).hexdigest(),
        ),
        float_model=None
        if settings.config is None
        else [
            Path(settings.config).name,
            "random weights" if checkpoint is None else Path(checkpoint).name,
        ],
    )


def _ratios(engines: Mapping[str, Any]) -> dict[str, float]:
    """How many times faster than MMDetection in eager float32, by median."""
    if TORCH not in engines:
        return {}
    base = engines[TORCH]["median_s"]
    return {name: base / times["median_s"] for name, times in engines.items()}
