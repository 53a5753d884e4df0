"""Speed of a detector, every engine at its best: docs/results/NAME_benchmark.json.

yolox_nano has weights from COCO (--weights) and is measured on the photographs of the VOC sample,
with the mAP of each engine. Weights, batch norm statistics and images of the others are random.
Only two things about numbers change the time. Some kernels add more products in int16 where most
weights are far below the largest: they are drawn from a normal distribution, to which trained ones
are closer than to the uniform one of PyTorch's layers. And boxes take time: scores are spread as
those of a trained detector, and the threshold is the one that some hundred candidates pass.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from lbwdet.benchmark.benchmark import benchmark
from lbwdet.benchmark.peers import set_input_size
from lbwdet.benchmark.report import markdown
from lbwdet.benchmark.settings import ENGINES, BenchmarkSettings
from lbwdet.bit_plan.post_training import post_train_detector
from lbwdet.bit_plan.quantized_config import write_quantized_config
from lbwdet.configs import load_config
from lbwdet.deploy.lower import head_of, lower
from lbwdet.deploy.runtime.context import Run
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.export import ExportSettings, export
from lbwdet.files import atomic_write, write_json
from lbwdet.importing.yolox import import_yolox
from lbwdet.measuring.candidates import ArrayDetector
from lbwdet.measuring.detectors import test_dataset
from lbwdet.quantizers.levels import TWO_TERM
from lbwdet.training.build import build_model

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
NUM_IMAGES = 4
CANDIDATES = 500  # with scores above the threshold
SPREAD = 1.5  # of logits
DENSE_PEERS = ("onnxruntime", "openvino")  # which leave boxes to PyTorch


@dataclass(frozen=True)
class Case:
    """One detector.

    Attributes:
        config: of the float detector.
        input_size: height and width; None: as the config makes it of the images.
        classifier: name of the layers that give scores, if their threshold is chosen here.
        trained: whether it has weights and a test set.
    """

    config: str
    input_size: tuple[int, int] | None
    classifier: str | None = None
    trained: bool = False


CASES = {
    "r50": Case(str(CONFIGS / "lbw_frcnn_voc_fp32.py"), (608, 1024)),
    "yolox_nano": Case(str(CONFIGS / "lbw_yolox_nano_voc-sample_fp32.py"), None, trained=True),
    "rtmdet_tiny": Case(
        "mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py", (640, 640), "bbox_head.rtm_cls"
    ),
    "ssd_mobilenetv2": Case(
        "mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py",
        (320, 320),
        "bbox_head.cls_convs",
    ),
    "retinanet_r50": Case(
        "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", (608, 1024), "bbox_head.retina_cls"
    ),
}


@dataclass(frozen=True)
class Prepared:
    """What is there to be measured.

    Attributes:
        config, checkpoint: of the float detector.
        artifacts: the low-bit ones, deployed.
        images: ``'test'``, or a folder.
    """

    config: Path
    checkpoint: Path
    artifacts: list[Path]
    images: str


def make_images(folder: Path) -> None:
    """Smooth noise of the size of a photograph: edges and areas, no objects."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(NUM_IMAGES):
        noise = np.random.default_rng(index).integers(0, 256, (600, 1000, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.GaussianBlur(noise, (0, 0), 3))


@torch.no_grad()
def make_float(case: Case, image: np.ndarray, config: Path, checkpoint: Path) -> None:
    """A detector with random weights, and batch norms that do not let activations explode."""
    torch.manual_seed(0)
    cfg = load_config(case.config)
    assert case.input_size is not None
    set_input_size(cfg, case.input_size)
    model: Any = build_model(cfg).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.uniform_(0.5, 1.5)
            layer.running_mean.normal_(0, 0.1)
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.normal_(0, float(layer.weight.std()))
    if case.classifier is not None:
        inputs = ArrayDetector(cfg, model).network_input(image)
        _spread_scores(model, case.classifier, inputs)
        cfg.model.test_cfg.score_thr = _threshold(model, test_dataset(cfg)["pipeline"], inputs)
    with atomic_write(checkpoint) as temporary:
        torch.save(dict(state_dict=model.state_dict(), meta={}), temporary)
    cfg.dump(str(config))


@torch.no_grad()
def _spread_scores(model: Any, classifier: str, inputs: torch.Tensor) -> None:
    maps = head_of(model).dense(model, inputs)
    levels = len(model.bbox_head.prior_generator.strides)
    logits = torch.cat([scores.flatten() for scores in maps[:levels]])
    factor = SPREAD / logits.std()
    for name, parameter in model.named_parameters():
        if name.startswith(classifier) and parameter.dim() == 4 and parameter.shape[1] > 1:
            parameter.mul_(factor)


@torch.no_grad()
def _threshold(model: Any, pipeline: Any, inputs: torch.Tensor) -> float:
    """The score that so many candidates of an image have."""
    lowered = lower(model, pipeline)
    (candidates,) = (
        operation for operation in lowered.program.operations if isinstance(operation, Candidates)
    )
    maps = head_of(model).dense(model, inputs)
    run = Run({}, {}, np.empty((*inputs.shape[2:], 3), np.uint8))
    for name, values in zip(lowered.maps, maps, strict=True):
        run.values[name] = values.permute(0, 2, 3, 1).contiguous().numpy()
    found = replace(candidates, score_threshold=0.0, pre_nms=CANDIDATES).compute(run)
    return float(np.sort(found[:, 4])[-CANDIDATES:][0])


def prepare(name: str, work_dir: Path, bits: Sequence[int], weights: str | None = None) -> Prepared:
    """Makes what is not there yet."""
    case = CASES[name]
    work_dir.mkdir(parents=True, exist_ok=True)
    make = _trained if case.trained else _untrained
    config, checkpoint, images = make(case, work_dir, weights)
    artifacts = [work_dir / f"{each}bit.lbw" for each in bits]
    for each, artifact in zip(bits, artifacts, strict=True):
        if artifact.exists():
            continue
        if case.trained:
            _export_trained(config, checkpoint, each, artifact)
        else:
            low = work_dir / f"{each}bit.py"
            write_quantized_config(str(config), str(low), _weight(each))
            export(low, checkpoint, artifact, ExportSettings(images, num=NUM_IMAGES))
    return Prepared(config, checkpoint, artifacts, images)


def _weight(bits: int) -> dict[str, Any]:
    """The code that costs the least accuracy of those that have so many bits."""
    return dict(
        bit_width=bits, code="two-term" if bits in TWO_TERM else "dense", granularity="channel"
    )


def _untrained(case: Case, work_dir: Path, weights: str | None) -> tuple[Path, Path, str]:
    """Config, checkpoint and images."""
    images, config, checkpoint = (work_dir / part for part in ("images", "float.py", "float.pth"))
    if not images.exists():
        make_images(images)
    if not config.exists():
        image = cv2.imread(str(images / "0.png"))
        assert image is not None
        make_float(case, image, config, checkpoint)
    return config, checkpoint, str(images)


def _trained(case: Case, work_dir: Path, weights: str | None) -> tuple[Path, Path, str]:
    checkpoint = work_dir / "float.pth"
    if not checkpoint.exists():
        if weights is None:
            raise SystemExit("--weights: name the checkpoint that lbwdet import-yolox takes")
        import_yolox(weights, checkpoint, config=case.config)
    return Path(case.config), checkpoint, "test"


def _export_trained(config: Path, checkpoint: Path, bits: int, artifact: Path) -> None:
    """Low bits from the training photographs, without their labels."""
    low = artifact.with_suffix("")
    activation = dict(bit_width=8, signed_bit_width=8, granularity="channel")
    post_train_detector(
        str(config), checkpoint, "train", low, _weight(bits), measure=False, activation=activation
    )
    export(low / "config.py", low / "post_trained.pth", artifact, ExportSettings())


def settings(case: Case, prepared: Prepared, args: Mapping[str, Any]) -> BenchmarkSettings:
    return BenchmarkSettings(
        args["against"],
        config=str(prepared.config),
        checkpoint=str(prepared.checkpoint),
        input_size=case.input_size,
        threads=args["threads"],
        rounds=args["rounds"],
        images=prepared.images,
        num_calibrate=args["num_calibrate"],
        accuracy=case.trained,
        num_accuracy_images=args["num_images"],
        isa=args["isa"],
        also=[str(artifact) for artifact in prepared.artifacts[1:]],
        profile=True,
        quiet_check=True,
        throughput=not args["no_throughput"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("name", choices=CASES)
    add("--bits", type=int, nargs="+", default=[6], help="of the weights [6]")
    add("--weights", help="of yolox_nano: a checkpoint for lbwdet import-yolox")
    add(
        "--also",
        type=Path,
        nargs="+",
        default=[],
        metavar="OTHER.lbw",
        help="of the same float detector, as further rows: trained ones",
    )
    engines = [engine for engine in ENGINES if engine not in (*DENSE_PEERS, "reference")]
    add("--against", nargs="+", default=engines, help=", ".join(ENGINES))
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=7)
    add("--num-calibrate", type=int, default=64, help="images for the int8 of others [64]")
    add("--num-images", type=int, help="only the first N test images for the mAP [all]")
    add("--no-throughput", action="store_true", help="leave out images per second: half the time")
    add("--isa", help="instruction set of the native engine [the best]")
    add("--work-dir", type=Path, help="[work_dirs/NAME]")
    add("--out", help="[docs/results/NAME_benchmark.json]")
    args = parser.parse_args()
    work_dir = args.work_dir or Path("work_dirs") / args.name
    prepared = prepare(args.name, work_dir, args.bits, args.weights)
    prepared.artifacts.extend(args.also)
    chosen = settings(CASES[args.name], prepared, vars(args))
    result = benchmark(prepared.artifacts[0], chosen, work_dir / "benchmark")
    write_json(args.out or f"docs/results/{args.name}_benchmark.json", result)
    print(markdown(result))


if __name__ == "__main__":
    main()
