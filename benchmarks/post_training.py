"""Measures post-training of YOLOX-Nano on the photographs of voc-sample, and its ingredients.

Images to quantize by are drawn from ``trainval`` (their labels are not used), mAP is that of
all test images, of the weights as they are written to a checkpoint and read again:

    export LBWDET_VOC_SAMPLE=ROOT
    python benchmarks/post_training.py yolox_nano_coco.pth --out docs/results/post_training.json

Rows with 8-bit activations are deployed, and run by the native engine. Every row is measured in
a process of its own; rows that are in the file already are kept. ``--only TEXT`` measures the
rows whose description has this text in it.

Other detectors, at 4 bits, where the weights are a checkpoint that fits the config:

    python benchmarks/post_training.py EPOCH.pth --config CONFIG --model NAME --seed 0 --out JSON
"""

import argparse
import dataclasses
import functools
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import post_training_peers as peers
import torch
import yolox_photographs as photographs
from mmengine.config import Config

from lbwdet.checkpoints import read_checkpoint
from lbwdet.configs import load_config
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.export import export_detector
from lbwdet.files import locked, write_json
from lbwdet.layers import quantize_
from lbwdet.measuring.artifact_candidate import ArtifactCandidate
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.detectors import build_detector
from lbwdet.measuring.environment import commit
from lbwdet.measuring.testset import TestSet, load_test_set
from lbwdet.posttraining import PostTraining, Refinement, Search, post_train, write_weights

IMAGES = 64
ABLATIONS: dict[str, dict[str, Any]] = {
    "all": {},
    "no float targets": dict(compensate=False),
    "no real scales": dict(real_scales=False),
    "no batch norms": dict(norms=False, real_scales=False),
    "no error feedback": dict(search=Search(feedback=False)),
    "no descent": dict(search=Search(sweeps=0)),
    "batch norms alone": dict(compensate=False, real_scales=False, search=Search(False, 0)),
}
REFINED = PostTraining(refinement=Refinement(steps=120))


def row(bits: int, code: str, granularity: str, draw: int, **more: Any) -> dict[str, Any]:
    return dict(
        model="YOLOX-Nano",
        bits=bits,
        code=code,
        granularity=granularity,
        solver="data",
        activation_bits=32,
        images=IMAGES,
        draw=draw,
        ingredients="all",
        engine="lbwdet",
    ) | dict(more)


def rows_of(detector: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a detector other than YOLOX-Nano: float, and 4 bits by the nearest level and by images."""
    found = [row(32, "float", "", 0, solver="", images=0)]
    for granularity in ("tensor", "channel"):
        found.append(row(4, "dense", granularity, 0, solver="exact", images=0))
        found += [row(4, "dense", granularity, draw) for draw in (0, 1, 2)]
    return [one | detector for one in found]


def rows() -> list[dict[str, Any]]:
    dense, two_term, paper = kinds = [
        (4, "dense", "channel"),
        (6, "two-term", "channel"),
        (6, "paper", "tensor"),
    ]
    others = [(3, "dense", "channel"), (5, "two-term", "channel"), (4, "two-term", "channel")]
    found = [row(32, "float", "", 0, solver="", images=0)]
    found += [row(*kind, draw) for kind in (two_term, dense, paper) for draw in (0, 1, 2)]
    found += [row(*kind, 0) for kind in others]
    found += [row(*dense, draw, ingredients="refined") for draw in (0, 1, 2)]
    found += [row(*kind, 0, solver="exact", images=0) for kind in kinds]
    found += [row(*dense, 0, ingredients=name) for name in list(ABLATIONS)[1:]]
    vendor = dict(solver="", ingredients="", activation_bits=8)
    found += [row(8, "int8", "channel", 0, engine=engine, **vendor) for engine in peers.ENGINES]
    found += [row(4, "dense", "tensor", draw) for draw in (0, 1, 2)]
    found += [row(6, "paper", "channel", 0), row(6, "two-term", "tensor", 0)]
    found += [row(3, "dense", "tensor", 0)]
    deployed = (dense, two_term, (4, "dense", "tensor"))
    found += [row(*kind, 0, activation_bits=8) for kind in deployed]
    return found


def float_model(settings: dict[str, Any], cfg: Config, weights: str) -> Any:
    if "config" in settings:
        return build_detector(cfg, weights).eval()
    return photographs.float_model(cfg, weights)


def quantized(settings: dict[str, Any], cfg: Config, weights: str) -> torch.nn.Module:
    weight = {key: settings[key] for key in ("code", "granularity")}
    bits = settings["activation_bits"]
    activation = dict(bit_width=bits, signed_bit_width=bits, granularity="channel")
    return quantize_(
        float_model(settings, cfg, weights),
        dict(weight, bit_width=settings["bits"]),
        None if bits == 32 else activation,
    )


def post_trained(
    settings: dict[str, Any], cfg: Config, weights: str, chosen: tuple[TestSet, list[int]]
) -> tuple[torch.nn.Module, dict[str, float]]:
    """The model as its checkpoint gives it, and what that took."""
    images, indices = chosen
    inputs = [[photographs.read(cfg, images, index)] for index in indices]
    name = settings["ingredients"]
    how = REFINED if name == "refined" else PostTraining(**ABLATIONS[name])
    model = quantized(settings, cfg, weights)
    before, start = resident_mb(), time.monotonic()
    result = post_train(model, inputs, photographs.forward, how)
    seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    written = quantized(settings, cfg, weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "post_trained.pth"
        write_weights(path, model, {})
        written.load_state_dict(read_checkpoint(path)[0])
    return written, dict(used=result.inputs, seconds=round(seconds, 1), peak_mb=round(peak))


def deployed(
    model: Any, cfg: Config, chosen: tuple[TestSet, list[int]], folder: str
) -> ArtifactCandidate:
    """Exported, calibrated on the same images, for the native engine."""
    images, indices = chosen
    pipeline = cfg.test_dataloader.dataset.pipeline
    loader = ImageLoader.of(pipeline)
    paths = [images.images[index].path for index in indices]
    pictures = ((path.name, loader(path)) for path in paths)
    artifact = export_detector(model, pipeline, images.classes, pictures)
    path = Path(folder) / "model.lbw"
    write_artifact(path, artifact)
    return ArtifactCandidate("deployed", path)


def measure(weights: str, settings: dict[str, Any]) -> dict[str, Any]:
    cfg = load_config(settings["config"]) if "config" in settings else photographs.config()
    chosen = photographs.drawn(cfg, settings["images"], settings["draw"])
    spent: dict[str, float] = {}
    if settings["engine"] in peers.ENGINES:
        start = time.monotonic()
        model = float_model(settings, cfg, weights)
        detect = peers.quantized(settings["engine"], model, cfg, chosen)
        spent = dict(seconds=round(time.monotonic() - start, 1))
        return {**settings, **photographs.score(cfg, detect, batch=1), **spent}
    if settings["bits"] == 32:
        model = float_model(settings, cfg, weights)
    elif settings["solver"] == "exact":
        model = quantized(settings, cfg, weights)
    else:
        model, spent = post_trained(settings, cfg, weights, chosen)
    if settings["activation_bits"] == 32:
        scores = photographs.score(cfg, functools.partial(photographs.detections, model))
        return {**settings, **scores, **spent}
    with tempfile.TemporaryDirectory() as folder:
        candidate = deployed(model, cfg, chosen, folder)
        return {**settings, **photographs.mean_ap(*_seen(cfg, candidate)), **spent}


def _seen(cfg: Config, candidate: ArtifactCandidate) -> tuple[TestSet, list[Detections]]:
    test_set = load_test_set(cfg)
    loader = ImageLoader.of(cfg.test_dataloader.dataset.pipeline)
    return test_set, [candidate.detect(loader(image.path)) for image in test_set.images]


def resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmRSS in /proc/self/status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="of MMDetection's YOLOX-Nano on COCO, or of --config")
    parser.add_argument("--config", help="of another float detector")
    parser.add_argument("--model", help="its name in the table")
    parser.add_argument("--seed", type=int, default=0, help="that it was trained with")
    parser.add_argument("--out", type=Path, required=True, metavar="JSON")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows with this text in them")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.row is not None:
        print(json.dumps(measure(args.weights, args.row)))
        return
    wanted = rows()
    if args.config is not None:
        wanted = rows_of(dict(model=args.model, config=args.config, seed=args.seed))
    for settings in wanted:
        if args.only not in json.dumps(settings):
            continue
        if any(settings.items() <= one.items() for one in recorded(args.out)):
            continue
        line = [sys.executable, "-W", "ignore", __file__, args.weights, "--out", str(args.out)]
        line += ["--threads", str(args.threads), "--row", json.dumps(settings)]
        output = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
        measured = json.loads(output.splitlines()[-1])
        measured |= dict(threads=args.threads, commit=commit())
        print(json.dumps(measured), flush=True)
        with locked(args.out.parent):
            write_json(
                args.out,
                dict(
                    study="post-training",
                    machine=platform.processor() or platform.machine(),
                    torch=torch.__version__,
                    settings=dataclasses.asdict(PostTraining()),
                    refinement=dataclasses.asdict(REFINED)["refinement"],
                    rows=sorted([*recorded(args.out), measured], key=place),
                ),
            )


def place(measured: dict[str, Any]) -> int:
    """Among the rows, which are written in their order."""
    return next(
        (at for at, settings in enumerate(rows()) if settings.items() <= measured.items()),
        len(rows()),
    )


def recorded(out: Path) -> list[dict[str, Any]]:
    return json.loads(out.read_text())["rows"] if out.is_file() else []


if __name__ == "__main__":
    main()
