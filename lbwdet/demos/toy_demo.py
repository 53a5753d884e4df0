"""From nothing to a trained, compared and drawn low-bit detector, in minutes."""

import functools
import os
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lbwdet.comparison.compare import CompareSettings, compare
from lbwdet.comparison.results import markdown
from lbwdet.comparison.specs import ModelSpec
from lbwdet.configs import OWN_CONFIGS, SPLITS
from lbwdet.datasets.toy import make_toy_dataset
from lbwdet.measuring.environment import available_cpus
from lbwdet.progress import Progress
from lbwdet.training.jobs import TrainingJob

MODELS = {"float": "fp32", "6bit": "6bit", "4bit": "4bit"}


def demo(
    work_dir: str | Path = "work_dirs/demo",
    data_root: str | Path = "data/toy",
    threads: int | None = None,
) -> dict[str, Any]:
    """Toy data, a float Faster R-CNN, 6-bit and 4-bit ones fine-tuned from it, a comparison.

    Whatever an earlier run finished is reused; an interrupted training goes on
    from its last epoch.

    Args:
        work_dir: gets a folder per model, ``compare.json`` and ``report/``.
        data_root: where the toy data set is, or will be made.
        threads: CPU threads; all by default.

    Returns:
        The content of ``compare.json``.
    """
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
        with Progress(name, total=100) as progress:
            checkpoint = job.run(threads, lambda share: progress.reach(int(100 * share)))
        specs.append(ModelSpec(name, config, str(checkpoint)))

    _say(len(MODELS) + 2, "comparison")
    settings = CompareSettings(threads=threads, data_root=data_root)
    comparison = compare(specs, work_dir, settings)
    print("\n" + markdown(comparison))
    print(
        f"\n{(time.monotonic() - started) / 60:.1f} minutes. Open {work_dir / 'report/index.html'} "
        f"in a browser; the numbers are in {work_dir / 'compare.json'}."
    )
    return comparison


def _say(step: int, text: str) -> None:
    print(f"[{step}/{len(MODELS) + 2}] {text}", file=sys.stderr, flush=True)
