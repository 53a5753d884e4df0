"""Speed of a Faster R-CNN R50-FPN at 608 x 1024, every engine: docs/results/r50_benchmark.json.

Weights, batch norm statistics and images are random: what an engine computes takes the same time
whatever the numbers are. Accuracy is measured elsewhere, on trained models.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from lbwdet.benchmark.benchmark import benchmark
from lbwdet.benchmark.report import markdown
from lbwdet.benchmark.settings import BenchmarkSettings
from lbwdet.configs import load_config
from lbwdet.export import ExportSettings, export
from lbwdet.files import atomic_write, write_json
from lbwdet.training.build import build_model

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
FLOAT = CONFIGS / "lbw_frcnn_voc_fp32.py"
INPUT = (608, 1024)
NUM_IMAGES = 4


def make_images(folder: Path) -> None:
    """Smooth noise of the size of a photograph: edges and areas, no objects."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(NUM_IMAGES):
        noise = np.random.default_rng(index).integers(0, 256, (600, 1000, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.GaussianBlur(noise, (0, 0), 3))


def make_checkpoint(path: Path) -> None:
    """Random weights, and batch norm statistics that do not let activations explode."""
    torch.manual_seed(0)
    model = build_model(load_config(FLOAT))
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.uniform_(0.5, 1.5)
            layer.running_mean.normal_(0, 0.1)
    with atomic_write(path) as temporary:
        torch.save(dict(state_dict=model.state_dict(), meta={}), temporary)


def prepare(work_dir: Path, bits: str) -> Path:
    """Makes what is not there yet; returns the artifact of this bit width."""
    checkpoint, artifact = work_dir / "float.pth", work_dir / f"{bits}.lbw"
    if not checkpoint.exists():
        make_checkpoint(checkpoint)
    if not (work_dir / "images").exists():
        make_images(work_dir / "images")
    if not artifact.exists():
        config = CONFIGS / f"lbw_frcnn_voc_{bits}.py"
        settings = ExportSettings(str(work_dir / "images"), num=NUM_IMAGES)
        export(config, checkpoint, artifact, settings)
    return artifact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--bits", default="6bit", help="6bit, 5bit, 4bit, 3bit or 2bit [%(default)s]")
    add("--against", nargs="+", default=["torch", "onnxruntime", "openvino", "native"])
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=7)
    add("--isa", help="instruction set of the native engine [the best]")
    add("--work-dir", type=Path, default=Path("work_dirs/r50"))
    add("--out", default="docs/results/r50_benchmark.json")
    args = parser.parse_args()
    artifact = prepare(args.work_dir, args.bits)
    settings = BenchmarkSettings(
        args.against,
        config=str(FLOAT),
        checkpoint=str(args.work_dir / "float.pth"),
        input_size=INPUT,
        threads=args.threads,
        rounds=args.rounds,
        images=str(args.work_dir / "images"),
        isa=args.isa,
        profile=True,
    )
    result = benchmark(artifact, settings, args.work_dir / "benchmark")
    write_json(args.out, result)
    print(markdown(result))


if __name__ == "__main__":
    main()
