"""Cost per pixel of the native engine over image sizes: docs/results/r50_sizes.json.

Uses the artifact of benchmarks/detectors.py r50; makes it if it is not there.
"""

import argparse
import dataclasses
import time
from pathlib import Path
from statistics import median

import numpy as np
from detectors import prepare

from lbwdet.deploy.benchmark_engine import with_input_size
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.files import write_json
from lbwdet.measuring.environment import commit, cpu_name

SIDES = (320, 480, 640, 800, 1024, 1280, 1600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/r50"))
    parser.add_argument("--out", default="docs/results/r50_sizes.json")
    args = parser.parse_args()
    artifact = read_artifact(prepare("r50", args.work_dir, 6).artifact)
    engines = {
        side: NativeEngine(with_input_size(artifact, (side, side)), args.threads) for side in SIDES
    }
    image = np.random.default_rng(0).integers(0, 256, (600, 1000, 3), np.uint8)
    times: dict[int, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for round_index in range(args.rounds + 1):  # the first one warms up
        for side, engine in engines.items():
            start = time.perf_counter()
            engine.detect(image)
            seconds = time.perf_counter() - start
            costs = [dataclasses.asdict(cost) for cost in engine.profile()]
            kinds = [cost["kind"] for cost in costs]
            dense = costs[1 : kinds.index("Proposals")]
            if round_index:
                times[side].append((seconds, sum(cost["nanoseconds"] for cost in dense) / 1e9))
    rows = []
    for side, samples in times.items():
        whole, dense_part = (median(column) for column in zip(*samples, strict=True))
        megapixels = side * side / 1e6
        rows.append(
            dict(
                side=side, whole_s=whole, dense_s=dense_part, dense_s_per_mp=dense_part / megapixels
            )
        )
        print(
            f"{side} x {side}: {1e3 * whole:.0f} ms, dense part {1e3 * dense_part:.0f} ms, "
            f"{1e3 * dense_part / megapixels:.0f} ms per megapixel"
        )
    result = dict(
        sizes=rows, threads=args.threads, rounds=args.rounds, cpu=cpu_name(), commit=commit()
    )
    write_json(args.out, result)


if __name__ == "__main__":
    main()
