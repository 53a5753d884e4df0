"""How an exported detector starts: docs/results/start.json.

    python benchmarks/start.py yolox_nano=nano.lbw r50=r50.lbw

A fresh process for each run: seconds until Python runs, to import what runs an artifact, to load
the artifact, and for the first image; and its peak memory beside that of weights and values. The
artifacts take turns; a first run of each fills caches of files and bytecode and is not counted.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.benchmark.process import THREAD_VARIABLES
from lbwdet.files import write_json
from lbwdet.measuring.environment import commit, cpu_name
from lbwdet.measuring.quiet import QuietCheck
from lbwdet.studies.start_report import markdown

# Imports nothing before the clock runs that is not there anyway.
CHILD = """
import sys, time

def now():
    return time.monotonic(), time.process_time()

def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(name))

times = [now()]
from lbwdet.deploy.runtime import Detector
times.append(now())
import json, numpy
height, width = map(int, sys.argv[3:])
pixels = numpy.frombuffer(bytes(range(251)) * (height * width * 3 // 251 + 1), numpy.uint8)
image = pixels[: height * width * 3].reshape(height, width, 3)
before = memory("VmRSS")
times.append(now())
detector = Detector(sys.argv[1], threads=int(sys.argv[2]))
times.append(now())
found = detector(image)
times.append(now())
weights, values = detector.engine.memory()
print(json.dumps(dict(
    times=times, before=before, peak=memory("VmHWM"), weights=weights, values=values,
    detections=len(found), isa=detector.engine.isa, torch="torch" in sys.modules,
)))
"""
STEPS = {"import": [(0, 1)], "load": [(2, 3)], "import_and_load": [(0, 1), (2, 3)]}
STEPS["first_image"] = [(3, 4)]
Run = dict[str, Any]


def run(artifact: Path, threads: int, size: Sequence[int]) -> Run:
    """What one process says of itself."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(artifact), str(threads), *map(str, size)],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise SystemExit(f"{artifact}: {done.stderr.strip()}")
    answer: Run = json.loads(done.stdout)
    assert not answer["torch"], "an artifact needs no PyTorch"
    return answer | dict(began=began)


def summary(artifact: Path, runs: Sequence[Run]) -> dict[str, Any]:
    """Medians; seconds of a clock on the wall and of all threads' CPUs."""
    steps = {}
    times = np.array([each["times"] for each in runs])  # [run][moment][of the wall, of the CPUs]
    for step, parts in STEPS.items():
        wall, cpu = np.sum([times[:, last] - times[:, first] for first, last in parts], 0).T
        p10, median, p90 = np.percentile(wall, (10, 50, 90))
        steps[step] = dict(
            median_s=float(median),
            p10_s=float(p10),
            p90_s=float(p90),
            cpu_s=float(np.median(cpu)),
            samples_s=[round(float(each), 4) for each in wall],
        )
    python = [each["times"][0][0] - each["began"] for each in runs]
    of_run = {name: float(np.median([each[name] for each in runs])) for name in ("before", "peak")}
    engine = {name: runs[0][name] for name in ("weights", "values")}
    grown = of_run["peak"] - of_run["before"]
    return dict(
        artifact=artifact.name,
        file_bytes=artifact.stat().st_size,
        sha256=hashlib.sha256(artifact.read_bytes()).hexdigest(),
        detections=runs[0]["detections"],
        python_s=float(np.median(python)),
        steps=steps,
        memory=of_run | engine | dict(grown=grown, ratio=grown / sum(engine.values())),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifacts", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, nargs=2, default=(600, 1000), help="height, width")
    parser.add_argument("--out", default="docs/results/start.json")
    args = parser.parse_args()
    artifacts = {name: Path(file) for name, _, file in (a.partition("=") for a in args.artifacts)}
    runs: dict[str, list[Run]] = {name: [] for name in artifacts}
    load_before = QuietCheck([]).before
    for _ in range(args.rounds + 1):
        for name, artifact in artifacts.items():
            runs[name].append(run(artifact, args.threads, args.size))
    result = dict(
        study="start",
        models={name: summary(artifacts[name], found[1:]) for name, found in runs.items()},
        threads=args.threads,
        rounds=args.rounds,
        image=list(args.size),
        isa=next(iter(runs.values()))[0]["isa"],
        load=[load_before, QuietCheck([]).before],
        python=sys.version.split()[0],
        numpy=np.__version__,
        cpu=cpu_name(),
        commit=commit(),
    )
    write_json(args.out, result)
    print(markdown(result))


if __name__ == "__main__":
    main()
