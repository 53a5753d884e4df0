"""Seeds x variants on one data set: train, measure, keep one JSON.

Each seed trains a float detector from random weights; from it, by one and the
same extra schedule, every low-bit variant and the float model itself are
trained on. Rows of rounded models show the float detector's weights projected
without any retraining.

A published detector is there already, the same for every seed, and its low-bit
variants have a schedule of their own towards its outputs.

Where an experiment says so, low-bit variants start from weights that training
images without labels chose, which have a row of their own.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lbwdet.bit_plan.post_training import post_train_detector
from lbwdet.configs import OWN_CONFIGS, load_config
from lbwdet.errors import ConfigError
from lbwdet.files import atomic_write, locked, write_json
from lbwdet.measuring.accuracy import detect_all, evaluate
from lbwdet.measuring.candidates import TorchCandidate
from lbwdet.measuring.environment import commit, cpu_name, gpu_name
from lbwdet.measuring.speed import pinned_threads
from lbwdet.measuring.testset import load_test_set
from lbwdet.posttraining import PostTraining
from lbwdet.studies.weight_settings import with_weight_settings
from lbwdet.training.jobs import NEVER, TrainingJob


@dataclasses.dataclass(frozen=True)
class Start:
    """Low-bit weights chosen by training images without their labels.

    Attributes:
        images: how many of them.
        settings: of the choice.
        of: the float variant whose weights it is made of, and nothing is trained after it; by
            default those of the base, and low-bit variants are trained on from there.
    """

    images: int = 64
    settings: PostTraining = dataclasses.field(default_factory=PostTraining)
    of: str | None = None


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What is trained on a data set.

    Attributes:
        dataset, detector: as in ``configs/lbw_<detector>_<dataset>_<variant>.py``.
        base: the variant trained from random weights, or published.
        variants: those trained on from it; the first is the float one.
        rounded: name to quantizer settings, evaluated without retraining.
        more: further variants, trained only when asked for by name.
        published: the base is not trained; its weights are what the first variant loads.
        start: how images choose what low-bit variants start from; None: from the float weights.
    """

    dataset: str
    base: str
    variants: tuple[str, ...]
    rounded: Mapping[str, Mapping[str, Any]]
    more: tuple[str, ...] = ()
    detector: str = "frcnn"
    published: bool = False
    start: "Start | None" = None

    def config(self, variant: str) -> str:
        return str(OWN_CONFIGS / f"lbw_{self.detector}_{self.dataset}_{variant}.py")


EXPERIMENTS = {
    "bccd": Experiment(
        dataset="bccd",
        base="fp32",
        variants=("fp32-finetuned", "6bit", "5bit", "4bit", "4bit-paper", "3bit", "2bit"),
        rounded={
            "6bit threshold": dict(bit_width=6, solver="threshold"),
            "4bit threshold": dict(bit_width=4, solver="threshold"),
            "6bit": dict(bit_width=6),
            "5bit": dict(bit_width=5),
            "4bit": dict(bit_width=4, code="dense"),
            "4bit-paper": dict(bit_width=4),
            "3bit": dict(bit_width=3, code="dense"),
            "2bit": dict(bit_width=2),
        },
        more=(
            *(f"{bits}bit_{scheme}" for bits in (2, 3, 4) for scheme in ("bcgd", "binary-relax")),
            *("w6a8", "w4a8", "w4a4", "w2a4", "w1a4"),
            *(f"{widths}_{ste}" for widths in ("w4a8", "w4a4") for ste in ("relu", "identity")),
        ),
    ),
    "bccd_projected": Experiment(
        dataset="bccd",
        base="fp32",
        variants=("fp32-finetuned", "6bit", "4bit"),
        rounded={},
        start=Start(),
    ),
    "voc-sample": Experiment(
        dataset="voc-sample",
        base="fp32",
        variants=("fp32-finetuned", "6bit", "4bit"),
        rounded={"6bit": dict(bit_width=6), "4bit": dict(bit_width=4, code="dense")},
    ),
    "voc-sample_yolox_nano": Experiment(
        dataset="voc-sample",
        detector="yolox_nano",
        base="fp32",
        variants=("fp32-finetuned", "6bit", "4bit", "3bit"),
        rounded={},
        more=(
            *("6bit-paper", "6bit-nearest", "5bit", "4bit-two-term", "2bit"),
            *("w6a8", "w4a8"),
            *(
                f"{bits}bit{how}"
                for bits in (3, 2)
                for how in ("-moving", "_bcgd", "_binary-relax")
            ),
            *(f"w{bits}a4{ste}" for bits in (3, 2) for ste in ("", "_relu", "_identity")),
        ),
        published=True,
        # More images and positions than lbwdet quantize takes: what low-bit variants of a
        # published detector start from matters more than their training. It takes 5 GB.
        start=Start(192, PostTraining(positions=60_000, waiting_bytes=6_000_000_000)),
    ),
    "voc-sample_frcnn_lite0": Experiment(
        dataset="voc-sample",
        detector="frcnn_lite0",
        base="fp32",
        variants=("fp32-finetuned", "6bit", "4bit", "3bit"),
        rounded={},
        more=("w4a8",),
        start=Start(64, of="fp32-finetuned"),
    ),
}


_FROM_FLOAT = re.compile(r".*-nearest")  # variants that start from the float weights
# Those that start from the levels of the variant with as many bits and nothing else to it: they
# differ in how they are trained, and in activations that training calibrates.
_FROM_LEVELS = re.compile(r"(\d)bit(-moving|_.*)|w(\d)a4.*")


def width_options(width: int) -> dict[str, Any]:
    """Overrides that give R18-FPN ``width`` channels in its first stage instead of 64."""
    if width == 64:
        return {}
    stages, pyramid = [width, 2 * width, 4 * width, 8 * width], 4 * width
    return {
        "model.backbone.base_channels": width,
        "model.neck.in_channels": stages,
        "model.neck.out_channels": pyramid,
        "model.rpn_head.in_channels": pyramid,
        "model.rpn_head.feat_channels": pyramid,
        "model.roi_head.bbox_roi_extractor.out_channels": pyramid,
        "model.roi_head.bbox_head.in_channels": pyramid,
        "model.roi_head.bbox_head.fc_out_channels": 16 * width,
    }


@dataclasses.dataclass(frozen=True)
class ExperimentSettings:
    """How much of an experiment is run, and how.

    Attributes:
        seeds: of the trainings.
        variants: only these of the experiment's, or some of its ``more``; all but ``more``
            by default.
        width: channels of the first stage, 64 for the real R18.
        jobs, threads: trainings at a time, and CPU threads of each.
    """

    seeds: Sequence[int] = (0, 1, 2)
    variants: Sequence[str] | None = None
    width: int = 64
    jobs: int = 1
    threads: int = 1


def run_experiment(
    name: str,
    out: str | Path | None = None,
    work_dir: str | Path | None = None,
    settings: ExperimentSettings | None = None,
) -> dict[str, Any]:
    """Trains what is not trained yet, measures, and writes ``out`` after each result.

    Args:
        name: one of ``EXPERIMENTS``.
        out: JSON file; its rows are kept and completed. ``docs/results/<name>.json`` by default.
        work_dir: checkpoints, in ``seed<n>/<variant>/``; finished ones are reused.
            ``work_dirs/experiment/<name>`` by default.
        settings: how much of it; the defaults without.
    """
    settings = settings or ExperimentSettings()
    if name not in EXPERIMENTS:
        raise ConfigError(f"experiment {name!r} is not known; choose from {', '.join(EXPERIMENTS)}")
    experiment = EXPERIMENTS[name]
    known = (*experiment.variants, *experiment.more)
    variants = experiment.variants if settings.variants is None else settings.variants
    if unknown := set(variants) - set(known):
        raise ConfigError(f"variants {sorted(unknown)} are not of {name}: {', '.join(known)}")
    if experiment.detector != "frcnn" and settings.width != 64:
        raise ConfigError(f"{name} starts from published weights, whose width is what it is")
    results = _Results(Path(out or f"docs/results/{name}.json"), experiment, settings.width)
    runs = Path(work_dir or f"work_dirs/experiment/{name}")

    def job(variant: str, seed: int, **options: Any) -> TrainingJob:
        options |= results.overrides | {"randomness.seed": seed}
        options["train_cfg.val_begin"] = NEVER  # measured here, once
        return TrainingJob(experiment.config(variant), runs / f"seed{seed}" / variant, options)

    def measure(kind: str, key: tuple[str, int], task: TrainingJob) -> None:
        results.measure(kind, *key, task.config, task.checkpoint)

    def train_all(jobs: Mapping[tuple[str, int], TrainingJob], measured: bool) -> None:
        for task in jobs.values():
            _ = task.checkpoint  # reads the config: not a thing to do in several threads
        with ThreadPoolExecutor(settings.jobs) as pool:
            finished = pool.map(lambda task: task.run(settings.threads), jobs.values())
            try:
                for (key, task), _ in zip(jobs.items(), finished, strict=True):
                    if measured:
                        measure("trained", key, task)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # start no more of them
                raise

    chosen: list[tuple[str, int, str, Path]] = []

    def start(variant: str, floating: Path, seed: int, folder: Path) -> str:
        """The float weights as this variant starts from them."""
        if levels := _FROM_LEVELS.fullmatch(variant):
            variant = f"{levels[1] or levels[3]}bit"
        config = experiment.config(variant)
        quant = load_config(config).model.get("quant")
        if experiment.start is None or quant is None or _FROM_FLOAT.fullmatch(variant):
            return str(floating)
        found = post_train_detector(
            results.float_config(runs),
            floating,
            "train",
            folder / "projected" / variant,
            dict(quant.weight),
            num=experiment.start.images,
            measure=False,
            activation=quant.get("activation"),
            settings=experiment.start.settings,
        )
        if (this := (variant, seed, config, found.checkpoint)) not in chosen:
            chosen.append(this)
        return str(found.checkpoint)

    tuned = [(variant, seed) for variant in known if variant in variants for seed in settings.seeds]
    with pinned_threads(settings.threads):
        if experiment.published:
            published = Path(load_config(experiment.config(experiment.variants[0])).load_from)
            results.measure(
                "published", experiment.base, 0, experiment.config(experiment.base), published
            )
            starts = {variant: start(variant, published, 0, runs) for variant in variants}
            jobs = {key: job(*key, load_from=starts[key[0]]) for key in tuned}
            bases = {}
        else:
            bases = {seed: job(experiment.base, seed) for seed in settings.seeds}
            # Measured when others need not wait for it.
            named = {(experiment.base, seed): task for seed, task in bases.items()}
            train_all(named, measured=False)
            if experiment.start is None or experiment.start.of is None:
                floats, after = bases, tuned
            else:
                of = experiment.start.of
                floats = {
                    seed: job(of, seed, load_from=str(task.checkpoint))
                    for seed, task in bases.items()
                }
                train_all({(of, seed): task for seed, task in floats.items()}, measured=True)
                after = []
                for variant, seed in tuned:
                    if variant != of:
                        start(variant, floats[seed].checkpoint, seed, runs / f"seed{seed}")
            jobs = {
                (variant, seed): job(
                    variant,
                    seed,
                    load_from=start(variant, floats[seed].checkpoint, seed, runs / f"seed{seed}"),
                )
                for variant, seed in after
            }
        train_all(jobs, measured=True)
        for seed, task in bases.items():
            measure("scratch", (experiment.base, seed), task)
        for variant, seed, config, checkpoint in chosen:
            results.measure("projected", variant, seed, config, checkpoint)
        for label, weight in experiment.rounded.items():
            for seed, task in bases.items():
                config = experiment.config(experiment.variants[-1])
                results.measure("rounded", label, seed, config, task.checkpoint, weight)
    return results.content


class _Results:
    """The JSON file of one experiment: a row per (kind, variant, seed)."""

    def __init__(self, path: Path, experiment: Experiment, width: int) -> None:
        self.path, self.experiment = path, experiment
        self.overrides = width_options(width)
        wanted = dict(dataset=experiment.dataset, detector=experiment.detector, width=width)
        self.content: dict[str, Any] = dict(**wanted, rows=[])
        self._read()
        for key, value in wanted.items():
            if (found := self.content.get(key, "frcnn")) != value:
                raise ConfigError(
                    f"{path} holds results for {key} {found}, not {value}; write to another file"
                )

    def float_config(self, runs: Path) -> str:
        """The base's config, with the width in it; written below ``runs`` if that is needed."""
        config = self.experiment.config(self.experiment.base)
        if not self.overrides:
            return config
        with atomic_write(written := runs / f"width{self.content['width']}.py") as temporary:
            load_config(config, self.overrides).dump(temporary)
        return str(written)

    def _read(self) -> None:
        if self.path.is_file():
            self.content = json.loads(self.path.read_text(encoding="utf-8"))

    def measure(
        self,
        kind: str,
        variant: str,
        seed: int,
        config: str,
        checkpoint: Path,
        weight: Mapping[str, Any] | None = None,
    ) -> None:
        key = dict(kind=kind, variant=variant, seed=seed)
        if self._has(key):
            return
        cfg = load_config(config, self.overrides)
        if weight is not None:
            cfg = with_weight_settings(cfg, weight)
        candidate = TorchCandidate(f"{variant} seed {seed}", cfg, checkpoint, config=config)
        test_set = load_test_set(cfg)
        found = detect_all(candidate, test_set)
        accuracy = evaluate(found, test_set.truths, test_set.classes)
        row = dict(
            **key,
            config=Path(config).name,
            epochs=int(cfg.train_cfg.max_epochs) if kind in ("scratch", "trained") else 0,
            **self._of(kind),
            **accuracy.maps,
            per_class={k: v.ap_11point for k, v in accuracy.per_class.items()},
            num_images=len(test_set),
            bit_width=candidate.size.bit_width,
            weight_bytes=candidate.size.weight_bytes,
            float_bytes=candidate.size.float_bytes,
            commit=commit(),
            cpu=cpu_name(),
            **({} if (gpu := gpu_name()) is None else dict(gpu=gpu)),
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent):
            if not self._has(key):  # another process may have added rows meanwhile
                self.content["rows"].append(row)
                write_json(self.path, self.content)

    def _of(self, kind: str) -> dict[str, str]:
        """Which float variant images chose levels of, if not the base."""
        start = self.experiment.start
        return {"of": start.of} if kind == "projected" and start and start.of else {}

    def _has(self, key: Mapping[str, Any]) -> bool:
        """Whether the file, as it is now, holds this row."""
        self._read()
        return any(key.items() <= row.items() for row in self.content["rows"])
