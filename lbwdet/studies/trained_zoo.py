"""Detectors of several families, trained: accuracy in float, fake-quantized and deployed.

Those on the toy set are trained from random weights in minutes, and on at low bits; a published
one gets low bits from images alone. Each low-bit detector is exported, and the native engine runs
the file on the same test images.
"""

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from mmengine.config import Config
from tqdm import tqdm

from lbwdet.bit_plan.post_training import post_train_detector
from lbwdet.configs import OWN_CONFIGS, SPLITS, load_config
from lbwdet.datasets.toy import make_toy_dataset
from lbwdet.errors import ConfigError
from lbwdet.export import ExportSettings, export
from lbwdet.files import locked, write_json
from lbwdet.measuring.accuracy import detect_all, evaluate
from lbwdet.measuring.artifact_candidate import ArtifactCandidate
from lbwdet.measuring.candidates import Candidate, TorchCandidate
from lbwdet.measuring.coco_accuracy import coco_accuracy
from lbwdet.measuring.environment import commit, cpu_name
from lbwdet.measuring.speed import pinned_threads
from lbwdet.measuring.testset import load_test_set
from lbwdet.training.jobs import NEVER, TrainingJob

IMAGES = 64  # that choose ranges of activations, and levels where nothing is trained
FLOAT = "fp32"  # of every subject, the first variant
ACTIVATION = dict(bit_width=8, signed_bit_width=8, granularity="channel")


Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A detector of the study.

    Attributes:
        title: as the table names it.
        config: stem of its configs, less ``lbw_`` and the variant.
        projected: low-bit variant to the weights' settings, of a published detector; one without
            is trained on the toy set, and its low-bit variants have configs of their own.
        trained: those.
        backbone: the subject whose trained backbone the float one starts from.
    """

    title: str
    config: str
    projected: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    trained: Sequence[str] = ()
    backbone: str | None = None

    def file(self, variant: str) -> str:
        return str(OWN_CONFIGS / f"lbw_{self.config}_{variant}.py")


SUBJECTS = {
    "retinanet": Subject("RetinaNet", "retinanet_toy", trained=("w4a8",)),
    "fcos": Subject("FCOS", "fcos_toy", trained=("w4a8",)),
    "rtmdet_tiny": Subject("RTMDet-tiny", "rtmdet_tiny_toy", trained=("w4a8",)),
    "mask_rcnn": Subject("Mask R-CNN", "mask_rcnn_toy", trained=("w4a8",)),
    "detr": Subject("DETR", "detr_toy", trained=("w4a8",), backbone="fcos"),
    "yolox_nano": Subject(
        "YOLOX-Nano",
        "yolox_nano_voc-sample",
        projected={
            "w4a8": dict(bit_width=4, code="dense", granularity="channel"),
            "w6a8": dict(bit_width=6, code="two-term", granularity="channel"),
        },
    ),
}


def run_trained_zoo(
    out: str | Path = "docs/results/trained_zoo.json",
    work_dir: str | Path = "work_dirs/trained_zoo",
    data_root: str | Path = "data/toy",
    only: Sequence[str] | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Does what is not done yet, and writes ``out`` after each row.

    Args:
        out: JSON file; its rows are kept and completed.
        work_dir: gets checkpoints and artifacts; finished ones are reused.
        data_root: where the toy data set is, or will be made.
        only: these of ``SUBJECTS``; None: all.
        threads: CPU threads; None: all.

    Raises:
        ConfigError: an unknown subject.
        LBWError: a training failed, or the photographs or the published weights are not there.
    """
    names = list(SUBJECTS) if only is None else list(only)
    if unknown := set(names) - set(SUBJECTS):
        raise ConfigError(
            f"{sorted(unknown)}: not in this study; choose from {', '.join(SUBJECTS)}"
        )
    results = _Results(Path(out))
    with pinned_threads(threads or torch.get_num_threads()):
        for name in names:
            subject = SUBJECTS[name]
            steps = _Steps(name, subject, Path(work_dir) / name, str(data_root), results)
            if subject.projected:
                steps.published()
            else:
                bar = functools.partial(tqdm, desc="drawing", unit="image")
                make_toy_dataset(data_root, progress=bar)
                steps.trained()
    return results.content


@dataclasses.dataclass(frozen=True)
class _Steps:
    """All that is done for one subject."""

    name: str
    subject: Subject
    folder: Path
    data_root: str
    results: "_Results"

    def trained(self) -> None:
        options = _at(self.data_root, load_config(self.subject.file(FLOAT)))
        start: dict[str, str] = {}
        for variant in (FLOAT, *self.subject.trained):
            # Measured here, once.
            training = options | (start or self._backbone()) | {"train_cfg.val_begin": NEVER}
            job = TrainingJob(self.subject.file(variant), self.folder / variant, training)
            done = job.checkpoint.is_file()
            _say(f"{self.name} {variant}: {'trained already' if done else 'training'}")
            checkpoint, seconds = _timed(functools.partial(job.run, torch.get_num_threads()))
            start = start or {"load_from": str(checkpoint)}
            cfg = load_config(job.config, options)
            key = dict(detector=self.name, variant=variant)
            note = dict(epochs=job.max_epochs, seconds=None if done else seconds)
            self._torch(key, job.config, cfg, checkpoint, note)
            if variant != FLOAT:
                settings = ExportSettings("train", num=IMAGES, cfg_options=options)
                self._deployed(key, job.config, cfg, checkpoint, settings)

    def _backbone(self) -> dict[str, str]:
        if self.subject.backbone is None:
            return {}
        config = SUBJECTS[self.subject.backbone].file(FLOAT)
        other = TrainingJob(config, self.folder.parent / self.subject.backbone / FLOAT)
        if not other.checkpoint.is_file():
            raise ConfigError(
                f"{self.name}: starts from the backbone of {self.subject.backbone}, which is not "
                f"trained yet ({other.checkpoint}); run that first: --only {self.subject.backbone}"
            )
        return {"model.backbone.init_cfg.checkpoint": str(other.checkpoint)}

    def published(self) -> None:
        config = self.subject.file(FLOAT)
        published = Path(load_config(self.subject.file("fp32-finetuned")).load_from)
        key = dict(detector=self.name, variant=FLOAT)
        self._torch(key, config, load_config(config), published, dict(epochs=0, seconds=None))
        for variant, weight in self.subject.projected.items():
            _say(f"{self.name} {variant}: levels from images")
            project = functools.partial(
                post_train_detector,
                config,
                published,
                "train",
                self.folder / variant,
                weight,
                IMAGES,
                measure=False,
                activation=ACTIVATION,
            )
            done = (self.folder / variant / "post_trained.pth").is_file()
            found, seconds = _timed(project)
            key = dict(detector=self.name, variant=variant)
            note = dict(epochs=0, seconds=None if done else seconds)
            written, cfg = str(found.config), load_config(found.config)
            self._torch(key, written, cfg, found.checkpoint, note)
            self._deployed(key, written, cfg, found.checkpoint, ExportSettings())

    def _torch(
        self,
        key: Mapping[str, str],
        config: str,
        cfg: Config,
        checkpoint: Path,
        note: Mapping[str, Any],
    ) -> None:
        key = dict(key, kind="float" if key["variant"] == FLOAT else "fake-quantized")
        if not self.results.has(key):
            candidate = TorchCandidate(" ".join(key.values()), cfg, checkpoint, config)
            self._measure(key, candidate, config, cfg, note)

    def _deployed(
        self,
        key: Mapping[str, str],
        config: str,
        cfg: Config,
        checkpoint: Path,
        settings: ExportSettings,
    ) -> None:
        key = dict(key, kind="deployed")
        if self.results.has(key):
            return
        path = self.folder / f"{key['variant']}.lbw"
        _, seconds = _timed(functools.partial(export, config, checkpoint, path, settings))
        candidate = ArtifactCandidate(" ".join(key.values()), path, threads=torch.get_num_threads())
        self._measure(key, candidate, config, cfg, dict(epochs=0, seconds=seconds))

    def _measure(
        self,
        key: Mapping[str, str],
        candidate: Candidate,
        config: str,
        cfg: Config,
        note: Mapping[str, Any],
    ) -> None:
        test_set = load_test_set(cfg)
        found = detect_all(candidate, test_set)
        masks = all(truth.masks is not None for truth in test_set.truths)
        scores = dict(evaluate(found, test_set.truths, test_set.classes).maps)
        for kind in ("box", "mask") if masks else ("box",):
            scores |= coco_accuracy(found, test_set.truths, test_set.classes, kind)
        self.results.add(
            dict(
                **key,
                title=self.subject.title,
                config=Path(config).name,
                **scores,
                num_images=len(test_set),
                test_set=test_set.description,
                bytes=candidate.size.weight_bytes,
                **note,
                threads=torch.get_num_threads(),
                commit=commit(),
                cpu=cpu_name(),
            )
        )


def _at(data_root: str, cfg: Config) -> dict[str, Any]:
    """Overrides that take a config to the toy data set there, its COCO evaluators, too."""
    options: dict[str, Any] = {
        f"{split}_dataloader.dataset.data_root": data_root for split in SPLITS
    }
    for split in SPLITS:
        evaluator = cfg.get(f"{split}_evaluator") or {}
        if "ann_file" in evaluator:
            written = cfg[f"{split}_dataloader"].dataset.ann_file
            options[f"{split}_evaluator.ann_file"] = str(Path(data_root) / written)
    return options


def _timed(do: Callable[[], Result]) -> tuple[Result, float]:
    """Also the seconds that it took."""
    start = time.monotonic()
    result = do()
    return result, round(time.monotonic() - start, 1)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Results:
    """The JSON file: a row per (detector, variant, kind)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = dict(study="trained-zoo", rows=[])
        self._read()

    def _read(self) -> None:
        if self.path.is_file():
            self.content = json.loads(self.path.read_text(encoding="utf-8"))

    def has(self, key: Mapping[str, str]) -> bool:
        """Whether the file, as it is now, holds this row."""
        self._read()
        return any(key.items() <= row.items() for row in self.content["rows"])

    def add(self, row: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent):
            self._read()  # another process may have added rows meanwhile
            order = list(SUBJECTS)
            self.content["rows"] = sorted(
                [*self.content["rows"], row], key=lambda one: order.index(one["detector"])
            )
            write_json(self.path, self.content)
