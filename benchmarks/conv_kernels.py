"""Speed of the native convolution kernels per layer of real networks at 608x1024.

    python benchmarks/conv_kernels.py
    python benchmarks/conv_kernels.py --network r18 --threads 1 2 --isa avx512_vnni avx2
    python benchmarks/conv_kernels.py --octaves 1 7 --out conv_kernels.json

Builds ``lbwdet/deploy/csrc/bench/conv_bench.cpp`` with the C++ compiler and runs all layers of
a network (``conv_shapes.json``) in order, each on the output of the one before, several times;
the least time of each layer counts. Beside the GMAC/s: their share of the peak, which is the
speed of the kernel's multiplying instructions alone, measured in the same run. ``--clock cpu``
counts processor time, for a machine that is busy with other things (one thread only).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from lbwdet.files import write_json
from lbwdet.measuring.environment import commit, cpu_name

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "lbwdet" / "deploy" / "csrc"
SHAPES = json.loads((HERE / "conv_shapes.json").read_text())
FLAGS = ["-O3", "-std=c++17", "-ffp-contract=off", "-pthread"]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--network", default="r50", choices=sorted(SHAPES["networks"]))
    parser.add_argument("--isa", nargs="+", default=["best"], metavar="NAME")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument(
        "--octaves", type=int, nargs="+", default=[7], help="weights are 0 and ±1 .. ±2**(n-1)"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--out", help="JSON file to write")
    return parser.parse_args()


def build(folder: Path) -> Path:
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        sys.exit("error: no C++ compiler: install g++, or name one in CXX")
    sources = [path for room in ("conv", "isa") for path in sorted((SOURCES / room).glob("*.cpp"))]
    sources.append(SOURCES / "bench" / "conv_bench.cpp")
    program = folder / "conv_bench"
    subprocess.run([compiler, *FLAGS, *map(str, sources), "-o", str(program)], check=True)
    return program


def measure(
    program: Path, network: str, isa: str, threads: int, octaves: int, repeats: int, clock: str
) -> dict[str, Any]:
    """Peak in GMAC/s and, per layer, its shape, GMAC, least and median milliseconds."""
    rows = SHAPES["networks"][network]
    lines = "".join(" ".join(map(str, row[1:])) + "\n" for row in rows)
    command = [program, isa, *map(str, (threads, repeats, octaves)), clock]
    result = subprocess.run(command, input=lines, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: {result.stderr.strip()}")
    peak, *timings = result.stdout.splitlines()
    layers = []
    for row, timing in zip(rows, timings, strict=True):
        least, median, multiplications = map(float, timing.split())
        layer = dict(zip(SHAPES["columns"], row, strict=True))
        layer |= {"ms": least * 1e3, "median_ms": median * 1e3, "gmac": multiplications / 1e9}
        layers.append(layer)
    case = {"network": network, "isa": isa, "threads": threads, "octaves": octaves}
    return case | {"clock": clock, "repeats": repeats, "peak": float(peak), "layers": layers}


def table(case: dict[str, Any]) -> str:
    """One line per distinct shape, then the dense part and the whole."""
    title = "{network} at 608x1024, {isa}, {threads} threads, {octaves} octaves".format(**case)
    lines = [f"{title}; peak {case['peak']:.0f} GMAC/s"]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for layer in case["layers"]:
        shape = tuple(layer[name] for name in SHAPES["columns"][1:])
        groups.setdefault(shape, []).append(layer)
    parts = {shape[0]["name"]: shape for shape in groups.values()}
    dense = [layer for layer in case["layers"] if not layer["name"].startswith("roi")]
    parts |= {"backbone, FPN, RPN": dense, "with RoI head": case["layers"]}
    for name, layers in parts.items():
        ms, gmac = sum(x["ms"] for x in layers), sum(x["gmac"] for x in layers)
        shape = ""
        if name in {layer["name"] for layer in layers}:
            shape = "{h}x{w} {ci}>{co} {kernel}x{kernel}/{stride} {kind}".format(**layers[0])
        speed = gmac / ms * 1e3
        share = f"{speed / case['peak']:6.1%}" if case["peak"] else ""
        lines.append(f"{name:20} {len(layers):3} {shape:36} {ms:8.2f} ms {speed:7.1f} {share}")
    return "\n".join(lines)


def main() -> None:
    arguments = parse_arguments()
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for isa, threads, octaves in product(arguments.isa, arguments.threads, arguments.octaves):
            case = measure(
                program,
                arguments.network,
                isa,
                threads,
                octaves,
                arguments.repeats,
                arguments.clock,
            )
            print(table(case), end="\n\n", flush=True)
            cases.append(case)
    if arguments.out:
        write_json(arguments.out, {"cpu": cpu_name(), "commit": commit(), "cases": cases})


if __name__ == "__main__":
    main()
