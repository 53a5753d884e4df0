"""The benchmark itself: prepares the engines, times them in turns, measures their accuracy."""

import contextlib
import hashlib
import importlib.util
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.benchmark.process import EngineError, EngineProcess, EngineSpec
from lbwdet.configs import load_config
from lbwdet.datasets.image_files import find_images, read_image
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.errors import ConfigError, LBWError
from lbwdet.files import write_json, write_text
from lbwdet.measuring.accuracy import evaluate
from lbwdet.measuring.calibration_images import calibration_images
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.environment import available_cpus, commit, cpu_name
from lbwdet.measuring.speed import measure
from lbwdet.measuring.testset import TestSet, load_test_set
from lbwdet.progress import Progress

ENGINES = ("torch", "onnxruntime", "openvino", "native", "reference")
CALIBRATED = ("onnxruntime", "openvino")
NATIVE = "native"
TORCH = "torch-fp32"
PEERS = "lbwdet.benchmark.peers"
OWN = "lbwdet.deploy.benchmark_engine"
NUM_IMAGES = 4
NOISE_SIZE = (600, 1000)


@dataclass
class Setup:
    """What the engines are made from.

    Attributes:
        artifact: the exported model.
        config, checkpoint: the float detector; None if none was given.
        input_size: height and width of the network's input; None: as the models say.
        cfg_options: overrides of the config.
        folder: for graphs, logs and results.
    """

    artifact: Path
    config: str | None
    checkpoint: str | None
    input_size: tuple[int, int] | None
    threads: int
    folder: Path
    cfg_options: dict[str, Any] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)


def benchmark(
    artifact: str | Path,
    against: Sequence[str] = ("torch", "native"),
    out_dir: str | Path = "work_dirs/benchmark",
    *,
    config: str | None = None,
    checkpoint: str | None = None,
    input_size: tuple[int, int] | None = None,
    threads: int | None = None,
    rounds: int = 7,
    images: str | None = None,
    calibrate: str | None = None,
    num: int = 32,
    accuracy: bool = False,
    num_accuracy_images: int | None = None,
    isa: str | None = None,
    profile: bool = False,
    data_root: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Times an artifact's engines and its peers on the same images, in turns.

    Every engine runs in a process of its own, with its threads pinned. The peers
    run the float detector of ``config`` and ``checkpoint``: in float32, and in the
    int8 that their own post-training quantizers make of it.

    Args:
        artifact: ``model.lbw``.
        against: of :data:`ENGINES`. ``onnxruntime`` and ``openvino`` stand for fp32 and int8.
        out_dir: gets ``benchmark.json``, ``benchmark.md``, ``plots/`` and the engines' logs.
        config, checkpoint: of the float detector; without checkpoint, random weights.
        input_size: height and width of the network's input; None: what the models'
            preprocessing makes of the images.
        threads: CPU threads of every engine; by default all.
        rounds: counted rounds over the images.
        images: ``'test'`` (of the config), ``'noise'``, or an image or folder; ``'test'`` by
            default where there is a config, else ``'noise'``.
        calibrate: what the peers' int8 is calibrated on, as of
            :func:`lbwdet.export.export`. By default the
            config's ``'train'`` where ``images`` are the config's, and otherwise the images
            that are timed.
        num: number of images to calibrate on.
        accuracy: measure the mAP of every engine on the config's test set.
        num_accuracy_images: only on the first ones.
        isa: instruction set of the native engine.
        profile: also the native engine's time per operation.
        data_root, cfg_options: as for training.

    Returns:
        The content of ``benchmark.json``. Engines that could not run are under
        ``unavailable`` with the reason.

    Raises:
        LBWError: with a message for the user.
    """
    against = list(dict.fromkeys(against))
    if unknown := sorted(set(against) - set(ENGINES)):
        raise ConfigError(f"unknown engine {', '.join(unknown)}; choose from {', '.join(ENGINES)}")
    images = images or ("noise" if config is None else "test")
    if config is None and (accuracy or images == "test"):
        raise ConfigError(
            "the config's test images are asked for: name the float detector with --float "
            "CONFIG:CHECKPOINT, or give --images FOLDER or --images noise, without --accuracy"
        )
    threads = available_cpus() if threads is None else threads
    if not 1 <= threads <= available_cpus():
        raise ConfigError(f"threads={threads}: give 1 to {available_cpus()}, the cores there are")
    model = read_artifact(artifact)
    setup = Setup(
        Path(artifact).resolve(), config, checkpoint, input_size, threads, Path(out_dir).resolve()
    )
    setup.cfg_options = dict(cfg_options or {})
    test_set = None
    if config is not None:
        cfg = load_config(config, setup.cfg_options, data_root)
        if data_root is not None:
            setup.cfg_options["data_root"] = data_root
        if accuracy or images == "test":
            test_set = load_test_set(cfg)
            _check_classes(model.classes, test_set)
    arrays = _images(images, test_set)
    calibration = arrays
    if calibrate is None and images == "test" and "train_dataloader" in cfg:
        calibrate = "train"
    if calibrate is not None and set(against) & set(CALIBRATED):
        if config is None:
            raise ConfigError("calibrate: name the float detector with --float CONFIG:CHECKPOINT")
        calibration = [read_image(path) for path in calibration_images(cfg, calibrate, num)]
    specs = _specs(setup, against, calibration, isa)
    with tempfile.TemporaryDirectory() as scratch:
        files = _stored(arrays, Path(scratch))
        parts, details = _time(setup, specs, files, rounds, profile)
    if accuracy and test_set is not None:
        _accuracy(setup, specs, test_set, num_accuracy_images, details)
    result = dict(
        input="x".join(map(str, input_size)) if input_size else "as each image gives",
        threads=threads,
        cpu=cpu_name(),
        commit=commit(),
        artifact=dict(
            name=Path(artifact).name,
            bytes=Path(artifact).stat().st_size,
            sha256=hashlib.sha256(Path(artifact).read_bytes()).hexdigest(),
        ),
        float_model=None if config is None else [Path(config).name, _name(checkpoint)],
        images=dict(source=images if test_set is None else "test", count=len(arrays)),
        calibration=dict(source=calibrate or "timed", count=len(calibration)),
        rounds=rounds,
        accuracy_set=_accuracy_text(test_set, num_accuracy_images) if accuracy else None,
        part={
            part: dict(
                engines={
                    name: times | details[name] | dict(mAP_11point=details[name].get("mAP_11point"))
                    for name, times in engines.items()
                },
                ratio_to_torch_fp32=_ratios(engines),
            )
            for part, engines in parts.items()
        },
        unavailable=setup.unavailable,
    )
    from lbwdet.benchmark.report import markdown, write_plots

    write_json(setup.folder / "benchmark.json", result)
    write_text(setup.folder / "benchmark.md", markdown(result))
    write_plots(setup.folder / "plots", result)
    return result


def _check_classes(classes: Sequence[str], test_set: TestSet) -> None:
    if tuple(classes) != test_set.classes:
        raise ConfigError(
            f"the artifact detects {list(classes)}, but the config's test set has "
            f"{list(test_set.classes)}"
        )


def _images(source: str, test_set: TestSet | None) -> list[np.ndarray]:
    if source == "test":
        assert test_set is not None
        places = np.linspace(0, len(test_set) - 1, min(NUM_IMAGES, len(test_set))).astype(int)
        return [test_set.load(index) for index in places]
    if source == "noise":
        random = np.random.default_rng(0)
        return [random.integers(0, 256, (*NOISE_SIZE, 3), np.uint8) for _ in range(NUM_IMAGES)]
    return [read_image(path) for path in find_images(source)[:NUM_IMAGES]]


def _stored(arrays: Sequence[np.ndarray], folder: Path) -> list[Path]:
    paths = [folder / f"{index}.npy" for index in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return paths


def _specs(
    setup: Setup, against: Sequence[str], calibration: Sequence[np.ndarray], isa: str | None
) -> list[EngineSpec]:
    """How to load each engine; why not, of those that cannot be, goes to ``setup.unavailable``."""
    specs = []
    for engine in against:
        if engine == NATIVE:
            arguments = _own(setup) | dict(threads=setup.threads, isa=isa)
            specs.append(EngineSpec(NATIVE, OWN, "NativeBenchmark", arguments))
        elif engine == "reference":
            specs.append(EngineSpec(engine, OWN, "ReferenceBenchmark", _own(setup)))
        elif setup.config is None:
            setup.unavailable[engine] = "no float detector was named (--float CONFIG:CHECKPOINT)"
        elif engine == "torch":
            specs.append(EngineSpec(TORCH, PEERS, "TorchBenchmark", _peer(setup)))
        else:
            specs += _graph_specs(setup, engine, calibration)
    return specs


def _own(setup: Setup) -> dict[str, Any]:
    return dict(path=str(setup.artifact), input_size=setup.input_size)


def _peer(setup: Setup) -> dict[str, Any]:
    return dict(
        config=setup.config,
        checkpoint=setup.checkpoint,
        threads=setup.threads,
        input_size=setup.input_size,
        cfg_options=setup.cfg_options,
    )


def _graph_specs(setup: Setup, engine: str, calibration: Sequence[np.ndarray]) -> list[EngineSpec]:
    needs = dict(onnxruntime=("onnxruntime", "onnx"), openvino=("openvino",))[engine]
    missing = [name for name in needs if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"not installed: {', '.join(missing)} (pip install 'lbwdet[engines]')"
        setup.unavailable[engine] = reason
        return []
    from lbwdet.benchmark.graphs import calibration_inputs, make_graphs
    from lbwdet.benchmark.peers import TorchBenchmark

    peer = TorchBenchmark(**_peer(setup))
    inputs = calibration_inputs(peer, calibration)
    specs = []
    for precision in ("fp32", "int8"):
        name = f"{engine}-{precision}"
        folder = setup.folder / "graphs" / engine
        try:
            graphs = make_graphs(engine, precision, peer, inputs, folder)
        except Exception as error:  # whatever another project's converter does not like
            setup.unavailable[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        arguments = _peer(setup) | dict(engine=engine) | graphs
        specs.append(EngineSpec(name, PEERS, "GraphBenchmark", arguments))
    return specs


def _time(
    setup: Setup, specs: Sequence[EngineSpec], files: Sequence[Path], rounds: int, profile: bool
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Latencies by part and engine; and what else is known of each engine."""
    details: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack:
        processes: dict[str, EngineProcess] = {}
        for spec in specs:
            log = setup.folder / "logs" / f"{spec.name}.log"
            try:
                process = stack.enter_context(EngineProcess(spec, setup.threads, log))
            except EngineError as error:
                setup.unavailable[spec.name] = str(error)
                continue
            processes[spec.name] = process
            details[spec.name] = dict(load_s=process.load_s)
        if not processes:
            reasons = "; ".join(f"{name}: {why}" for name, why in setup.unavailable.items())
            raise LBWError(f"no engine can run: {reasons}")
        timed = {name: one for name, one in processes.items() if name != "reference"}
        parts: dict[str, dict[str, Any]] = dict(dense={}, end_to_end={})
        if timed:
            calls: dict[str, dict[str, Any]] = dict(
                dense={name: one.dense for name, one in timed.items()},
                end_to_end={name: _detect_seconds(one) for name, one in timed.items()},
            )
            total = 2 * len(timed) * len(files) * (rounds + 1)
            with Progress("timing", total) as progress:
                for part, engines in calls.items():
                    times = measure(engines, files, 1, rounds, progress=progress.step)
                    parts[part] = {name: _seconds(time) for name, time in times.items()}
        for name, process in processes.items():
            details[name]["peak_rss_mb"] = process.peak_rss_mb()
        if profile and NATIVE in processes:
            details[NATIVE]["profile"] = processes[NATIVE].profile(files[0])
    return parts, details


def _detect_seconds(process: EngineProcess) -> Any:
    return lambda image: process.detect(image)["seconds"]


def _seconds(latency: Any) -> dict[str, Any]:
    return dict(
        median_s=latency.median / 1e3,
        p10_s=latency.p10 / 1e3,
        p90_s=latency.p90 / 1e3,
        samples_s=[value / 1e3 for value in latency.milliseconds],
    )


def _ratios(engines: Mapping[str, Any]) -> dict[str, float]:
    """How many times faster than MMDetection in eager float32, by median."""
    if TORCH not in engines:
        return {}
    base = engines[TORCH]["median_s"]
    return {name: base / times["median_s"] for name, times in engines.items()}


def _accuracy(
    setup: Setup,
    specs: Sequence[EngineSpec],
    test_set: TestSet,
    count: int | None,
    details: dict[str, dict[str, Any]],
) -> None:
    """The mAP of every engine, each with the preprocessing of its own model."""
    indices = range(len(test_set) if count is None else min(count, len(test_set)))
    truths = [test_set.images[index].truth for index in indices]
    for spec in specs:
        if spec.name not in details:
            continue
        own = EngineSpec(
            spec.name, spec.module, spec.attribute, spec.arguments | dict(input_size=None)
        )
        log = setup.folder / "logs" / f"{spec.name}-accuracy.log"
        with (
            EngineProcess(own, setup.threads, log) as process,
            tempfile.TemporaryDirectory() as scratch,
            Progress(f"{spec.name}: detect", len(indices)) as progress,
        ):
            found = []
            for index in indices:
                path = Path(scratch) / "image.npy"
                np.save(path, test_set.load(index))
                found.append(_detections(process.detect(path)))
                progress.step()
        measured = evaluate(found, truths, test_set.classes)
        details[spec.name]["mAP_11point"] = measured.map_11point
        details[spec.name]["mAP_area"] = measured.map_area


def _detections(answer: Mapping[str, Any]) -> Detections:
    return Detections(
        boxes=np.array(answer["boxes"], np.float32).reshape(-1, 4),
        scores=np.array(answer["scores"], np.float32),
        labels=np.array(answer["labels"], np.int64),
    )


def _accuracy_text(test_set: TestSet | None, count: int | None) -> str:
    assert test_set is not None
    return f"{test_set.description}, {min(count or len(test_set), len(test_set))} images"


def _name(path: str | None) -> str:
    return "random weights" if path is None else Path(path).name
