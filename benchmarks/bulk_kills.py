"""Kills workers and drivers of `lbwdet detect` at random moments, and counts the rows.

    python benchmarks/bulk_kills.py IMAGES model.lbw --work-dir work_dirs/kills

kills ten times (kill -9), starts the same command again whenever its driver was killed, and holds
the rows against those of a run that nobody disturbed.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lbwdet.bulk.rows import read_rows

PATIENCE = 120.0  # seconds without a new shard, after which something is wrong
WORKER = b"MapWorker"  # in the title of Ray's processes that hold a detector

_COMMAND = (sys.executable, "-m", "lbwdet.cli", "detect")


@dataclass
class Told:
    """What happened: who was killed, in order, and how often the command was started."""

    killed: list[str]
    starts: int


def run_with_kills(line: Sequence[str], out: Path, victims: Sequence[str], seed: int) -> Told:
    """Runs a command to its end, and kills one of its processes now and then.

    Args:
        line: the command.
        out: its folder of shards.
        victims: 'worker' or 'driver', in order.
        seed: of the moments.

    Raises:
        RuntimeError: the command failed, was through before all were killed, or stood still.
    """
    chance = random.Random(seed)
    left = list(victims)
    told = Told([], 0)
    while True:
        told.starts += 1
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            while left and _wait_for_shards(process, out, chance):
                victim = left[0]
                pids = [process.pid] if victim == "driver" else workers(process.pid)
                if not pids:
                    continue  # killed, and not there again
                os.kill(chance.choice(pids), signal.SIGKILL)
                told.killed.append(left.pop(0))
                if victim == "driver":
                    break
            _, printed = process.communicate()
        finally:
            process.kill()
        if process.returncode == 0 and not left:
            return told
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError(
                f"exit code {process.returncode}, not yet killed: {left}: {printed.decode()}"
            )


def _wait_for_shards(process: subprocess.Popen[bytes], out: Path, chance: random.Random) -> bool:
    """Waits for one or two more shards and a moment; False where the process has ended."""
    aim = _shards(out) + chance.choice([1, 2])
    start = time.monotonic()
    while _shards(out) < aim:
        if process.poll() is not None:
            return False
        if time.monotonic() - start > PATIENCE:
            raise RuntimeError(f"no new shard for {PATIENCE:.0f} s")
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.3))
    return process.poll() is None


def _shards(out: Path) -> int:
    return len(list(out.glob("shard-*.parquet")))


def workers(pid: int) -> list[int]:
    """Processes below this one that hold a detector."""
    found = []
    for child in descendants(pid):
        try:
            if WORKER in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
        except OSError:
            pass  # it has just ended
    return found


def descendants(pid: int) -> list[int]:
    """Processes that this one has started, and those that they have."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name, which may hold anything but ends with the last parenthesis.
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(path.parent.name)] = int(parent)
    found, level = [], [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is not only waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("artifact")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--shard-size", default="8")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/bulk_kills"))
    args = parser.parse_args()
    chance = random.Random(args.seed)
    size = args.shard_size
    victims = [chance.choice(["worker", "worker", "driver"]) for _ in range(args.kills)]
    folders = [args.work_dir / name for name in ("killed.parquet", "undisturbed.parquet")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    lines = [
        [*_COMMAND, args.source, args.artifact, "--out", str(folder), "--shard-size", size]
        for folder in folders
    ]
    told = run_with_kills([*lines[0], "--workers", args.workers], folders[0], victims, args.seed)
    subprocess.run([*lines[1], "--workers", "0"], check=True)
    killed, undisturbed = (list(read_rows(sorted(path.glob("*.parquet")))) for path in folders)
    print(f"killed: {', '.join(told.killed)}; {told.starts} starts, {len(killed)} rows")
    if killed != undisturbed:
        sys.exit("error: the rows differ from those of a run that nobody disturbed")
    print("every row is there once, and as without kills")


if __name__ == "__main__":
    main()
