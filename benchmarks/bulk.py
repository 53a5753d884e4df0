"""Images per second of `lbwdet detect`, and what Ray adds to an image: docs/results/bulk.json.

    python benchmarks/bulk.py IMAGES model.lbw

A plain loop (read, detect) with one thread, the same in shards without Ray, and on Ray with one
and with two workers of one thread each, in turn, several rounds. A rate is the slope of images
done over time, from the times of the shards' files; what is not in it is the start.
"""

import argparse
import os
import shutil
import tarfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lbwdet.bulk.detect import BulkSettings, detect_in_bulk
from lbwdet.bulk.rows import read_rows
from lbwdet.bulk.sources.any import list_source
from lbwdet.deploy.runtime import Detector
from lbwdet.files import write_json
from lbwdet.images import find_images, read_image
from lbwdet.measuring.environment import available_cpus, commit, cpu_name

LOOP = "loop"
SHARD_SIZE = 16
Run = dict[str, float]


def run_loop(paths: list[Path], artifact: Path, score_thr: float) -> Run:
    """A loop that reads and detects, and keeps nothing."""
    start = time.perf_counter()
    detector = Detector(artifact, threads=1, score_threshold=score_thr)
    first = time.perf_counter()
    for path in paths:
        detector(read_image(path))
    end = time.perf_counter()
    return dict(images_per_second=len(paths) / (end - first), start_s=first - start)


def run_bulk(listed: Path, artifact: Path, out: Path, workers: int, score_thr: float) -> Run:
    """One run of the command, in a folder of its own."""
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    settings = BulkSettings(workers=workers, shard_size=SHARD_SIZE, score_thr=score_thr)
    images = detect_in_bulk(listed, artifact, out, settings).images
    seconds = time.perf_counter() - start
    times = sorted((path.stat().st_mtime, len(list(read_rows([path])))) for path in shards(out))
    moments = [moment - times[0][0] for moment, _ in times]
    slope = np.polyfit(moments, np.cumsum([count for _, count in times]), 1)[0]
    return dict(images_per_second=float(slope), start_s=seconds - images / float(slope))


def shards(out: Path) -> list[Path]:
    """The files of rows."""
    return sorted(out.glob("shard-*.parquet"))


def listing_rates(paths: list[Path], folder: Path) -> dict[str, float]:
    """Images per second that are listed: below a folder, and in a tar file."""
    path = folder / "listing.tar"
    with tarfile.open(path, "w") as tar:
        for image in paths:
            tar.add(image, image.name)
    rates = {}
    for name, source in (("folder", paths[0].parent), ("tar", path)):
        start = time.perf_counter()
        images = list_source(source, SHARD_SIZE).images
        rates[name] = images / (time.perf_counter() - start)
    path.unlink()
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", help="a folder")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--num-images", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--score-thr", type=float, default=0.3)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/bulk"))
    parser.add_argument("--out", default="docs/results/bulk.json")
    args = parser.parse_args()
    paths = find_images(args.images)[: args.num_images]
    args.work_dir.mkdir(parents=True, exist_ok=True)
    listed = args.work_dir / "list.txt"
    listed.write_text("\n".join(os.path.abspath(path) for path in paths))
    runs: dict[str, list[Run]] = {LOOP: [], "0": [], "1": [], "2": []}
    load = os.getloadavg()[0]
    for _ in range(args.rounds):
        for name, done in runs.items():
            if name == LOOP:
                run = run_loop(paths, args.artifact, args.score_thr)
            else:
                out = args.work_dir / f"{name}.parquet"
                run = run_bulk(listed, args.artifact, out, int(name), args.score_thr)
            print(name, {key: round(value, 2) for key, value in run.items()}, flush=True)
            done.append(run)
    # As much as the default has in one file.
    one = args.work_dir / "one.parquet"
    shutil.rmtree(one, ignore_errors=True)
    detect_in_bulk(listed, args.artifact, one, BulkSettings(workers=0, score_thr=args.score_thr))
    rows = list(read_rows(shards(one)))
    result: dict[str, Any] = dict(
        study="bulk",
        artifact=dict(name=args.artifact.name, bytes=args.artifact.stat().st_size),
        images=len(paths),
        image_bytes=sum(path.stat().st_size for path in paths) / len(paths),
        boxes=sum(len(row["scores"] or ()) for row in rows) / len(rows),
        row_bytes=sum(path.stat().st_size for path in shards(one)) / len(rows),
        score_threshold=args.score_thr,
        shard_size=SHARD_SIZE,
        rounds=args.rounds,
        runs={name: _summary(done) for name, done in runs.items()},
        listed_per_second=listing_rates(paths, args.work_dir),
        machine=dict(cpu=cpu_name(), cores=available_cpus(), load=[load, os.getloadavg()[0]]),
        commit=commit(),
    )
    write_json(args.out, result)
    print(args.out)


def _summary(done: list[Run]) -> dict[str, float]:
    rates = [run["images_per_second"] for run in done]
    return dict(
        images_per_second=median(rates),
        lowest=min(rates),
        highest=max(rates),
        start_s=median(run["start_s"] for run in done),
    )


if __name__ == "__main__":
    main()
