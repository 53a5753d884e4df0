"""Measures post-training of YOLOX-Nano on the photographs of voc-sample, and its ingredients.

The network is MMDetection's ``mmdet::yolox/yolox_nano_8xb8-300e_coco.py`` with COCO weights,
of which the 15 class channels of voc-sample are kept. Images to quantize by are drawn from
``trainval`` (their labels are not used), mAP is that of all test images:

    export LBWDET_VOC_SAMPLE=ROOT
    python benchmarks/post_training.py yolox_nano_coco.pth --out docs/results/post_training.json

Every row is measured in a process of its own; rows that are in the file already are kept.
``--only TEXT`` measures the rows whose description has this text in it.
"""

import argparse
import copy
import dataclasses
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lbwdet.compat  # noqa: F401  (before mmdet, which imports mmcv.ops)

# isort: split
import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.dataset import Compose

from lbwdet.checkpoints import read_checkpoint
from lbwdet.configs import load_config
from lbwdet.files import locked, write_json
from lbwdet.layers import quantize_
from lbwdet.measuring.accuracy import evaluate
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.testset import TestSet, load_test_set
from lbwdet.posttraining import PostTraining, Refinement, Search, post_train
from lbwdet.training.build import build_model

DATA = Path(__file__).parents[1] / "configs" / "_base_" / "datasets" / "voc-sample.py"
IN_COCO = {"motorbike": "motorcycle"}  # other names are the same
IMAGES = 64
WAITING_BYTES = 1_400_000_000  # what so many passes hold
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
        solver=more.get("solver", "data"),
        activation_bits=more.get("activation_bits", 32),
        images=more.get("images", IMAGES),
        draw=draw,
        ingredients=more.get("ingredients", "all"),
    )


def rows() -> list[dict[str, Any]]:
    kinds = [
        (4, "dense", "channel"),
        (6, "two-term", "channel"),
        (6, "paper", "tensor"),
        (4, "two-term", "channel"),
        (3, "dense", "channel"),
        (5, "two-term", "channel"),
        (6, "paper", "channel"),
        (4, "dense", "tensor"),
    ]
    found = [row(*kind, 0) for kind in kinds[:4]]
    found += [row(*kinds[0], 0, ingredients="refined")]
    found += [row(*kind, draw) for draw in (1, 2) for kind in kinds[:3]]
    found += [row(*kind, 0) for kind in kinds[4:]]
    found += [row(4, "dense", "channel", 0, ingredients=name) for name in list(ABLATIONS)[1:]]
    found += [row(32, "float", "", 0, solver="", images=0)]
    found += [row(*kind, 0, solver="exact", images=0) for kind in kinds[:3]]
    found += [row(*kind, 0, activation_bits=8) for kind in kinds[:2]]
    found += [row(*kind, 0, ingredients="refined") for kind in kinds[1:3]]
    return found


def config() -> Config:
    cfg = load_config("mmdet::yolox/yolox_nano_8xb8-300e_coco.py")
    data = load_config(DATA)
    cfg.model.bbox_head.num_classes = len(data.metainfo.classes)
    cfg.model.test_cfg = dict(score_thr=0.01, nms=dict(type="nms", iou_threshold=0.65))
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(416, 416), keep_ratio=True),
        dict(type="Pad", pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(
            type="PackDetInputs",
            meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
        ),
    ]
    for split in ("train", "test"):
        loader = copy.deepcopy(data[f"{split}_dataloader"])
        loader.dataset.pipeline = pipeline
        loader.dataset.pop("filter_cfg", None)
        cfg[f"{split}_dataloader"] = loader
    return cfg


def float_model(cfg: Config, weights: str) -> torch.nn.Module:
    state, _ = read_checkpoint(weights)
    names = [IN_COCO.get(name, name) for name in cfg.test_dataloader.dataset.metainfo.classes]
    kept = [CocoDataset.METAINFO["classes"].index(name) for name in names]
    for key in state:
        if "multi_level_conv_cls" in key:
            state[key] = state[key][kept]
    model = build_model(cfg)
    model.load_state_dict(state)
    return model.eval()


def read(cfg: Config, test_set: TestSet, index: int) -> dict[str, Any]:
    steps = [s for s in cfg.test_dataloader.dataset.pipeline if s["type"] != "LoadAnnotations"]
    data: dict[str, Any] = Compose(steps)(
        dict(img_path=str(test_set.images[index].path), img_id=index)
    )
    return data


def forward(model: Any, data: list[dict[str, Any]]) -> Any:
    samples = [copy.deepcopy(each["data_samples"]) for each in data]
    return model.test_step(dict(inputs=[each["inputs"] for each in data], data_samples=samples))


@torch.no_grad()
def mean_ap(cfg: Config, model: torch.nn.Module, batch: int = 14) -> dict[str, float]:
    test_set = load_test_set(cfg)
    found = []
    for start in range(0, len(test_set), batch):
        indices = range(start, min(start + batch, len(test_set)))
        for result in forward(model, [read(cfg, test_set, index) for index in indices]):
            boxes = result.pred_instances
            found.append(
                Detections(boxes.bboxes.numpy(), boxes.scores.numpy(), boxes.labels.numpy())
            )
    truths = [image.truth for image in test_set.images]
    accuracy = evaluate(found, truths, test_set.classes)
    assert accuracy.map_11point is not None and accuracy.map_area is not None
    return dict(
        mAP_11point=round(100 * accuracy.map_11point, 2),
        mAP_area=round(100 * accuracy.map_area, 2),
    )


def measure(weights: str, settings: dict[str, Any]) -> dict[str, Any]:
    cfg = config()
    model = float_model(cfg, weights)
    seconds, peak = 0.0, 0.0
    if settings["bits"] != 32:
        weight = dict(
            bit_width=settings["bits"], code=settings["code"], granularity=settings["granularity"]
        )
        bits = settings["activation_bits"]
        activation = None if bits == 32 else dict(bit_width=bits, signed_bit_width=bits)
        quantize_(model, weight, activation)
    if settings["solver"] == "data":
        train = copy.deepcopy(cfg)
        train.test_dataloader = train.train_dataloader
        images = load_test_set(train)
        random = np.random.RandomState(settings["draw"])
        chosen = sorted(random.choice(len(images), settings["images"], replace=False).tolist())
        inputs = [[read(cfg, images, index)] for index in chosen]
        name = settings["ingredients"]
        how = REFINED if name == "refined" else PostTraining(**ABLATIONS[name])
        how = dataclasses.replace(how, waiting_bytes=WAITING_BYTES)
        before, start = resident_mb(), time.monotonic()
        result = post_train(model, inputs, forward, how)
        seconds = time.monotonic() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
        assert result.inputs == settings["images"]
    return {
        **settings,
        **mean_ap(cfg, model),
        "seconds": round(seconds, 1),
        "peak_mb": round(peak),
    }


def resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmRSS in /proc/self/status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="of MMDetection's YOLOX-Nano on COCO")
    parser.add_argument("--out", type=Path, required=True, metavar="JSON")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows with this text in them")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.row is not None:
        print(json.dumps(measure(args.weights, args.row)))
        return
    for settings in rows():
        if args.only not in json.dumps(settings):
            continue
        if any(settings.items() <= one.items() for one in recorded(args.out)):
            continue
        line = [sys.executable, "-W", "ignore", __file__, args.weights, "--out", str(args.out)]
        line += ["--threads", str(args.threads), "--row", json.dumps(settings)]
        output = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
        measured = json.loads(output.splitlines()[-1])
        print(json.dumps(measured), flush=True)
        with locked(args.out.parent):
            write_json(
                args.out,
                dict(
                    machine=platform.processor() or platform.machine(),
                    threads=args.threads,
                    torch=torch.__version__,
                    settings=dataclasses.asdict(PostTraining()),
                    refinement=dataclasses.asdict(REFINED)["refinement"],
                    rows=[*recorded(args.out), measured],
                ),
            )


def recorded(out: Path) -> list[dict[str, Any]]:
    return json.loads(out.read_text())["rows"] if out.is_file() else []


if __name__ == "__main__":
    main()
