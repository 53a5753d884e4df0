"""What low bits cost in training: time of an iteration, float against 6 bits, in turns.

    python benchmarks/training_step.py --device cuda --out docs/results/training_step.json

Random weights and images, eight boxes on each. Both detectors take the same steps with the
optimizer of their config: forward, losses, backward, step, with the projection of all weights
in each as `lbwdet train` does it; on a GPU also without CUDA graphs. The weights are trained,
levels and all. Of one step, the operations that PyTorch dispatches are counted, too: on a GPU
they are what a step takes. Before that, each detector takes a few steps alone: the memory that
PyTorch then holds of a GPU.
"""

import argparse
import copy
import gc
import platform
from collections.abc import Callable
from typing import Any

import torch
from fake_quantize import random_batch, synchronize
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn
from torch.optim import SGD
from torch.utils._python_dispatch import TorchDispatchMode

import lbwdet.compat  # before anything of mmdet
from lbwdet.configs import OWN_CONFIGS, load_config
from lbwdet.files import write_json
from lbwdet.layers import quantized_layers
from lbwdet.measuring.environment import commit, cpu_name
from lbwdet.measuring.speed import measure
from lbwdet.training.build import build_model
from lbwdet.training.projection_hook import project_before_forward

ONCE = 3  # steps in which something happens that later ones do not need
DETECTORS = {
    # name: float and low-bit config, images, their height and width
    "Faster R-CNN R50-FPN": ("frcnn_voc_fp32", "frcnn_voc_6bit", 2, (600, 1000)),
    "YOLOX-Nano": ("yolox_nano_voc_fp32-finetuned", "yolox_nano_voc_6bit", 8, (416, 416)),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS), choices=list(DETECTORS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the images' sides [1]")
    parser.add_argument("--repeats", type=int, default=40, help="timed iterations after 5")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", help="JSON file to write")
    return parser.parse_args()


def iteration(
    config: str, cuda_graph: bool, amp: bool, batch: dict[str, list[Any]], device: str
) -> Callable[[Any], None]:
    """One iteration of a detector's training."""
    cfg = load_config(str(OWN_CONFIGS / f"lbw_{config}.py"))
    torch.manual_seed(0)
    model: nn.Module = build_model(cfg).to(device).train()
    # So small a rate that random weights and noise do not diverge.
    optimizer = SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    wrapped = dict(type="OptimWrapper", optimizer=optimizer)
    if amp and device == "cuda":
        wrapped |= dict(type="AmpOptimWrapper", loss_scale="dynamic")
    elif amp:
        wrapped |= dict(type="CPUAmpOptimWrapper")
    wrapper = OPTIM_WRAPPERS.build(wrapped)
    layers = list(quantized_layers(model).values()) if device == "cuda" else []
    if layers:
        project_before_forward(model, layers, cuda_graph=cuda_graph)

    def run(_: Any) -> None:
        model.train_step(copy.deepcopy(batch), wrapper)
        synchronize(device)

    return run


class Count(TorchDispatchMode):
    """Counts the operations that are dispatched while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.number += 1
        return function(*args, **(kwargs or {}))


def peak_memory(*given: Any) -> int:
    """Bytes that PyTorch has taken of the GPU after a detector's first steps."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    step = iteration(*given)
    for _ in range(ONCE + 1):
        step(None)
    return int(torch.cuda.max_memory_reserved() - before)


def dispatched(step: Callable[[Any], None]) -> int:
    """Operations of a step, after some in which all that happens once has happened."""
    for _ in range(ONCE):
        step(None)
    with Count() as count:
        step(None)
    return count.number


def main() -> None:
    arguments = parse_arguments()
    lbwdet.compat.install_extension()
    torch.set_num_threads(arguments.threads)
    gpu = torch.cuda.get_device_name() if arguments.device == "cuda" else None
    report: dict[str, Any] = dict(
        study="training-step",
        device=gpu or cpu_name(),
        cpu=cpu_name(),
        threads=arguments.threads,
        repeats=arguments.repeats,
        commit=commit(),
        torch=torch.__version__,
        python=platform.python_version(),
        rows=[],
    )
    for name in arguments.detectors:
        floating, low_bit, number, sides = DETECTORS[name]
        height, width = (int(side * arguments.scale) for side in sides)
        batch = random_batch(number, height, width)
        for amp in (False, True):
            kinds = [(floating, False), (low_bit, True), (low_bit, False)]
            given = amp, batch, arguments.device
            if not gpu:
                kinds.pop()
            memory = [peak_memory(*kind, *given) for kind in kinds if gpu]
            work = {kind: iteration(*kind, *given) for kind in kinds}
            operations = [dispatched(step) for step in work.values()]
            times = measure(work, [None], warmup=5, rounds=arguments.repeats)
            took = [times[kind] for kind in kinds]
            more = [each.median / took[0].median - 1 for each in took]
            row = dict(
                detector=name,
                amp=amp,
                batch_size=number,
                input_size=[height, width],
                configs=[floating, low_bit],
                operations=operations,
                memory=memory,
                float_ms=vars(took[0]),
                low_bit_ms=vars(took[1]),
                more=more[1],
            )
            if gpu:
                row |= dict(without_graphs_ms=vars(took[2]), without_graphs_more=more[2])
            report["rows"].append(row)
            show(row)
            if arguments.out:
                write_json(arguments.out, report)


def show(row: dict[str, Any]) -> None:
    height, width = row["input_size"]
    kinds = {"float": "float_ms", "6 bits": "low_bit_ms", "without graphs": "without_graphs_ms"}
    print(
        f"{row['detector']}, {row['batch_size']} x {height}x{width}, "
        f"{'mixed precision' if row['amp'] else 'float32'}:",
        *(f"{name} {time_of(row[key])}," for name, key in kinds.items() if key in row),
        f"{row['more']:+.1%}; operations {row['operations']}; bytes {row['memory']}",
        flush=True,
    )


def time_of(took: dict[str, float]) -> str:
    return f"{took['median']:.1f} ms ({took['p10']:.1f} .. {took['p90']:.1f})"


if __name__ == "__main__":
    main()
