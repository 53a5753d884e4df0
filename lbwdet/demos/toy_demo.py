"""From nothing to a trained, deployed, compared and drawn low-bit detector, in minutes."""

import functools
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lbwdet.comparison.compare import CompareSettings, compare
from lbwdet.comparison.results import markdown
from lbwdet.comparison.specs import ArtifactSpec, ModelSpec
from lbwdet.configs import OWN_CONFIGS, SPLITS
from lbwdet.datasets.toy import make_toy_dataset
from lbwdet.errors import ConfigError
from lbwdet.export import ExportSettings, export
from lbwdet.measuring.environment import available_cpus
from lbwdet.progress import Progress
from lbwdet.training.jobs import TrainingJob

MODELS = {"float": "fp32", "6bit": "6bit", "4bit": "4bit"}
CALIBRATION_IMAGES = 32
_STEPS = len(MODELS) + 3


def demo(
    work_dir: str | Path = "work_dirs/demo",
    data_root: str | Path = "data/toy",
    threads: int | None = None,
) -> dict[str, Any]:
    """Toy data, a float Faster R-CNN, 6-bit and 4-bit ones fine-tuned from it, both deployed.

    All five are compared: float and low-bit weights in PyTorch, low-bit ones in the native
    engine.

    Whatever an earlier run finished is reused; an interrupted training goes on
    from its last epoch.

    Args:
        work_dir: gets a folder and a ``.lbw`` file per model, ``compare.json`` and ``report/``.
        data_root: where the toy data set is, or will be made.
        threads: CPU threads; all by default.

    Returns:
        The content of ``compare.json``.
    """
    if not OWN_CONFIGS.is_dir():
        raise ConfigError(
            f"{OWN_CONFIGS}: is not there: the demo's configs are in a checkout of the repository, "
            "not in the package; install with pip install -e '.[train]'"
        )
    started = time.monotonic()
    work_dir, threads = Path(work_dir), threads or available_cpus()
    _say(1, f"toy data in {data_root}")
    make_toy_dataset(data_root, progress=functools.partial(tqdm, desc="drawing", unit="image"))

    specs: list[ModelSpec] = []
    for step, (name, variant) in enumerate(MODELS.items(), start=2):
        config = os.path.relpath(OWN_CONFIGS / f"lbw_frcnn_toy_{variant}.py")  # short in tables
        options: dict[str, Any] = {
            f"{split}_dataloader.dataset.data_root": str(data_root) for split in SPLITS
        }
        if specs:
            options["load_from"] = specs[0].checkpoint
        job = TrainingJob(config, work_dir / name, options)
        done = job.checkpoint.is_file()
        _say(step, f"{name}: {'already trained' if done else 'training'}, {job.work_dir}")
        checkpoint = _train(name, job, threads)
        specs.append(ModelSpec(name, config, str(checkpoint)))

    _say(_STEPS - 1, f"artifacts for the native engine in {work_dir}")
    deployed = [_deploy(spec, work_dir / f"{spec.name}.lbw", data_root) for spec in specs[1:]]

    _say(_STEPS, "comparison")
    settings = CompareSettings(threads=threads, data_root=data_root)
    comparison = compare([*specs, *deployed], work_dir, settings)
    print("\n" + markdown(comparison))
    print("\n".join(gains(comparison)))
    print(
        f"\n{(time.monotonic() - started) / 60:.1f} minutes. Open {work_dir / 'report/index.html'} "
        f"in a browser; the numbers are in {work_dir / 'compare.json'}."
    )
    return comparison


def _train(name: str, job: TrainingJob, threads: int) -> Path:
    if job.checkpoint.is_file():
        return job.checkpoint
    with Progress(name, total=100) as progress:
        checkpoint = job.run(threads, lambda share: progress.reach(int(100 * share)))
        if progress.done < progress.total:  # MMEngine logs every so many iterations, not the last
            progress.reach(progress.total)
    return checkpoint


def _deploy(spec: ModelSpec, path: Path, data_root: str | Path) -> ArtifactSpec:
    if not path.is_file() or path.stat().st_mtime < Path(spec.checkpoint).stat().st_mtime:
        settings = ExportSettings("train", num=CALIBRATION_IMAGES, data_root=str(data_root))
        exported = export(spec.config, spec.checkpoint, path, settings)
        print(f"{path}: {exported.summary()}", file=sys.stderr)
    return ArtifactSpec(f"{spec.name} deployed", str(path))


def gains(comparison: Mapping[str, Any]) -> list[str]:
    """What each deployed detector gains over the first one, which is float in PyTorch."""
    first, *others = comparison["models"]
    return [
        f"{model['name']}: {first['latency_ms']['median'] / model['latency_ms']['median']:.1f} "
        f"times as fast as {first['name']} in PyTorch, "
        f"{first['weight_bytes'] / model['weight_bytes']:.1f} times smaller, mAP (11-point) "
        f"{100 * (model['mAP_11point'] - first['mAP_11point']):+.1f}"
        for model in others
        if model["engine"] == "native"
    ]


def _say(step: int, text: str) -> None:
    print(f"[{step}/{_STEPS}] {text}", file=sys.stderr, flush=True)
