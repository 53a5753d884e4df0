"""What low-bit training costs beside float training: time and memory of one step.

    python benchmarks/fake_quantize.py --out fake_quantize.json
    python benchmarks/fake_quantize.py --device cuda --batch-size 2 --repeats 20

Time: projecting every convolution and linear weight of a Faster R-CNN once, as each
training step does, beside the detector's float training step, in turns within one
process. Memory: the peak of a few training steps, float and quantized, each in a
process of its own: of the process on a CPU, of the allocated tensors on a GPU.
"""

import argparse
import copy
import json
import logging
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

import lbwdet.compat  # before anything of mmdet
from lbwdet.files import write_json
from lbwdet.layers import quantizable_layers, quantize_
from lbwdet.measuring.environment import commit, cpu_name
from lbwdet.measuring.speed import measure
from lbwdet.quantizers import build_quantizer

GRANULARITIES = ("tensor", "channel")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--depth", type=int, default=50, choices=[18, 34, 50, 101], help="ResNet")
    parser.add_argument("--size", type=int, nargs=2, default=[600, 1000], metavar=("H", "W"))
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--bit-width", type=int, default=6)
    parser.add_argument("--code", default="paper", choices=["paper", "dense"])
    parser.add_argument("--repeats", type=int, default=7, help="timed steps after one of warm-up")
    parser.add_argument("--memory-steps", type=int, default=3, help="steps whose peak is taken")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", help="JSON file to write")
    parser.add_argument("--peak-of", type=int, metavar="BIT_WIDTH", help=argparse.SUPPRESS)
    return parser.parse_args()


def build_detector(depth: int, device: str) -> nn.Module:
    """MMDetection's Faster R-CNN with 20 classes and random weights, ready to train."""
    config = Config.fromstring("_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'", ".py")
    config.model.backbone.update(depth=depth, init_cfg=None)
    if depth < 50:
        config.model.neck.in_channels = [64, 128, 256, 512]
    config.model.roi_head.bbox_head.num_classes = 20
    init_default_scope("mmdet")
    detector = MODELS.build(config.model)
    logging.disable(logging.WARNING)  # or it logs a line per parameter
    detector.init_weights()
    logging.disable(logging.NOTSET)
    return detector.to(device).train()


def random_batch(batch_size: int, height: int, width: int) -> dict[str, list[Any]]:
    """Noise with eight boxes on each image."""
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for _ in range(batch_size):
        corners = torch.rand(8, 4, generator=generator) * torch.tensor([width, height] * 2) * 0.5
        boxes = torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:] + 16], 1)
        labels = torch.randint(20, (8,), generator=generator)
        shape = dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0))
        instances = InstanceData(bboxes=boxes, labels=labels)
        samples.append(DetDataSample(metainfo=shape, gt_instances=instances))
        inputs.append(
            torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)
        )
    return dict(inputs=inputs, data_samples=samples)


def training_step(detector: nn.Module, arguments: argparse.Namespace) -> Callable[[], None]:
    """One step of MMDetection's training: losses, gradients, SGD with momentum."""
    batch = random_batch(arguments.batch_size, *arguments.size)
    # So small a rate that random weights and noise do not diverge.
    optimizer = torch.optim.SGD(detector.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    wrapper = OptimWrapper(optimizer)

    def step() -> None:
        detector.train_step(copy.deepcopy(batch), wrapper)
        synchronize(arguments.device)

    return step


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def measure_time(arguments: argparse.Namespace) -> dict[str, Any]:
    detector = build_detector(arguments.depth, arguments.device)
    layers = dict(quantizable_layers(detector))
    num_weights = sum(layer.weight.numel() for layer in layers.values())

    def project_all(granularity: str) -> Callable[[Any], None]:
        quantizer = build_quantizer(arguments.bit_width, arguments.code, granularity=granularity)
        assert quantizer is not None

        def project(_: Any) -> None:
            # Each is kept, as a training step keeps it until its gradient arrives.
            kept = [quantizer.fake_quantize(layer.weight, name) for name, layer in layers.items()]
            synchronize(arguments.device)
            del kept

        return project

    step = training_step(detector, arguments)
    work: dict[str, Callable[[Any], None]] = {"step": lambda _: step()}
    work |= {granularity: project_all(granularity) for granularity in GRANULARITIES}
    latency = measure(work, [None], warmup=1, rounds=arguments.repeats)
    result: dict[str, Any] = dict(
        num_parameters=sum(parameter.numel() for parameter in detector.parameters()),
        num_weights=num_weights,
        num_layers=len(layers),
        float_step_ms=vars(latency["step"]),
    )
    for granularity in GRANULARITIES:
        milliseconds = latency[granularity].median
        result[granularity] = dict(
            fake_quantize_ms=vars(latency[granularity]),
            ns_per_weight=milliseconds * 1e6 / num_weights,
            share_of_float_step=milliseconds / latency["step"].median,
        )
    return result


def peak_memory(arguments: argparse.Namespace) -> int:
    """Bytes at the peak of this process (CPU) or of its tensors (GPU)."""
    detector = build_detector(arguments.depth, arguments.device)
    quantize_(detector, weight=dict(bit_width=arguments.peak_of, code=arguments.code))
    step = training_step(detector, arguments)
    for _ in range(arguments.memory_steps):
        step()
    if arguments.device == "cuda":
        return torch.cuda.max_memory_allocated()
    # Not getrusage's ru_maxrss, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    match = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    if match is None:
        raise OSError("this system does not tell the peak memory of a process (/proc/self/status)")
    return int(match[1]) * 1024


def measure_memory(arguments: argparse.Namespace) -> dict[str, Any]:
    peak = {}
    for bit_width in (32, arguments.bit_width):
        command = [sys.executable, *sys.argv, "--peak-of", str(bit_width)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        peak[bit_width] = json.loads(done.stdout.splitlines()[-1])
    return dict(
        float_bytes=peak[32],
        quantized_bytes=peak[arguments.bit_width],
        ratio=peak[arguments.bit_width] / peak[32],
    )


def main() -> None:
    arguments = parse_arguments()
    lbwdet.compat.install_extension()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.peak_of is not None:
        print(peak_memory(arguments))
        return
    gpu = torch.cuda.get_device_name() if arguments.device == "cuda" else None
    report = dict(
        detector=f"Faster R-CNN R{arguments.depth}-FPN, 20 classes",
        bit_width=arguments.bit_width,
        code=arguments.code,
        batch_size=arguments.batch_size,
        input_size=arguments.size,
        repeats=arguments.repeats,
        device=gpu or cpu_name(),
        threads=arguments.threads,
        commit=commit(),
        torch=torch.__version__,
        python=platform.python_version(),
        time=measure_time(arguments),
        memory=measure_memory(arguments),
    )
    show(report)
    if arguments.out:
        write_json(arguments.out, report)


def show(report: dict[str, Any]) -> None:
    time, memory = report["time"], report["memory"]
    height, width = report["input_size"]
    print(
        f"{report['detector']}, {report['batch_size']} x {height}x{width}, on {report['device']}, "
        f"{report['threads']} threads, medians of {report['repeats']} (p10 .. p90)"
    )
    rows = [("float training step", time["float_step_ms"], "")]
    rows += [
        (
            f"fake-quantize, {granularity}",
            time[granularity]["fake_quantize_ms"],
            f"{time[granularity]['share_of_float_step']:.2%} of the step, "
            f"{time[granularity]['ns_per_weight']:.2f} ns per weight",
        )
        for granularity in GRANULARITIES
    ]
    for name, latency, note in rows:
        print(
            f"  {name:24}{latency['median']:10.1f} ms "
            f"({latency['p10']:.1f} .. {latency['p90']:.1f})  {note}"
        )
    print(
        f"  peak memory of training {memory['float_bytes'] / 2**20:10.1f} MiB float, "
        f"{memory['quantized_bytes'] / 2**20:.1f} MiB at {report['bit_width']} bits: "
        f"{memory['ratio']:.3f} times"
    )


if __name__ == "__main__":
    main()
