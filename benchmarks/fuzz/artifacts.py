"""Gives changed artifacts (``.lbw``) to the reader and to every engine (make fuzz).

Each has to be refused by an ``LBWError`` in one sentence, or to run, within the limits on memory
and work, with the same bytes on every instruction set of this CPU and in the reference. Anything
else is kept: another exception, a process that died, more seconds or bytes than there should be.

A seed is a batch of mutants in a process of its own, always the same ones; what is done is
written down, so that a run can be cut into ranges of seeds, as long as the commit stays.

Example:
    python benchmarks/fuzz/artifacts.py --seeds 0:200 --out work_dirs/fuzz
    python benchmarks/fuzz/artifacts.py --seeds 200:220 --sanitized --out work_dirs/fuzz
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for tests.deploy.csrc.build
sys.path.insert(0, str(Path(__file__).resolve().parent))

from artifact_mutants import artifact_mutant

from lbwdet.deploy.runtime import native, native_library
from lbwdet.deploy.runtime.artifact import Artifact, read_artifact
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.errors import ArtifactError, LBWError
from lbwdet.files import write_json

SEEDS = Path(__file__).with_name("artifact_seeds.py")  # takes PyTorch, unlike this
BATCH = 100  # mutants of one seed
MEMORY_LIMIT = 64 << 20  # bytes for an image
WORK_LIMIT = 1 << 28  # multiplications and comparisons
ALLOWANCE = 64 << 20  # bytes that reading a file, and Python, may take besides
SLOWEST = 10.0  # seconds of the CPU, for reading, and for each engine
LONGEST = 900.0  # seconds of a clock for a batch: longer ones hang
REFERENCE_WORK = 1 << 22  # multiplications up to which the reference is asked, too
SIZES = ((32, 48), (40, 60), (17, 90), (1, 1), (50, 7))
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


class Fault(Exception):
    """What must not be."""


class Watch:
    """Seconds of the CPU and bytes that something took.

    Attributes:
        most: bytes that any has taken.
    """

    def __init__(self) -> None:
        self.most = 0

    def __enter__(self) -> "Watch":
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._bytes, self._seconds = _peak(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.process_time() - self._seconds
        self.bytes = _peak() - self._bytes
        self.most = max(self.most, self.bytes)

    def check(self, what: str, limit: int) -> None:
        if self.seconds > SLOWEST:
            raise Fault(f"{what} took {self.seconds:.0f} s")
        if self.bytes > limit:
            raise Fault(f"{what} took {self.bytes >> 20} MiB, the limit is {limit >> 20} MiB")


def _peak() -> int:
    """Bytes that this process has had at most since the peak began."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def try_batch(seed: int, count: int, sources: Sequence[bytes], current: Path) -> Counter[str]:
    """Tries the mutants of a seed, each written to ``current`` first.

    Returns:
        How many were refused, ran, were equal to the reference; ``peak``, the most bytes.

    Raises:
        Fault: too slow, too large, or another result in another engine.
        Exception: whatever was raised that is no ``LBWError``.
    """
    rng = random.Random(seed)
    isas = [name for name, usable in native.instruction_sets().items() if usable]
    counts: Counter[str] = Counter()
    watch = Watch()
    often = [len(source) ** -0.5 for source in sources]  # large ones take long
    for _ in range(count):
        content = artifact_mutant(rng.choices(sources, often)[0], rng)
        image = np.random.default_rng(rng.randrange(1 << 32)).integers(
            0, 256, (*rng.choice(SIZES), 3), np.uint8
        )
        threads = rng.randint(1, native.available_threads())
        current.write_bytes(content)
        counts["mutants"] += 1
        with watch:
            artifact = _read(current)
        watch.check("reading", ALLOWANCE)
        if artifact is None:
            counts["refused when read"] += 1
            continue
        counts["read"] += 1
        results = {}
        work = 0
        for isa in isas:
            with watch:
                results[isa], work = _run(artifact, image, isa, threads)
            watch.check(isa, MEMORY_LIMIT + ALLOWANCE)
            counts[f"runs on {isa}"] += 1
        _compare(results)
        if isinstance(results[isas[0]], str):
            counts["refused for its memory or work"] += 1
            continue
        counts["run"] += 1
        if work <= REFERENCE_WORK:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                _compare({**results, "reference": ReferenceEngine(artifact).detect(image)})
            counts["equal to the reference"] += 1
            counts["with detections"] += len(results[isas[0]][1]) > 0
    counts["peak"] = watch.most
    return counts


def _read(path: Path) -> Artifact | None:
    try:
        return read_artifact(path)
    except ArtifactError as error:
        _check_sentence(error)
        return None


def _run(artifact: Artifact, image: Any, isa: str, threads: int) -> tuple[Found | str, int]:
    """The detections, or why there are none; and the multiplications."""
    try:
        limits = dict(memory_limit=MEMORY_LIMIT, work_limit=WORK_LIMIT)
        with native.NativeEngine(artifact, threads, isa, **limits) as engine:
            found = engine.detect(image)
            return found, sum(cost.multiplications for cost in engine.profile())
    except LBWError as error:
        _check_sentence(error)
        return "refused", 0


def _check_sentence(error: LBWError) -> None:
    if not 5 < len(str(error)) < 6500:
        raise Fault(f"a message of {len(str(error))} letters")
    str(error).encode()


def _compare(results: dict[str, Found | str]) -> None:
    (first, expected), *others = results.items()
    for name, found in others:
        if isinstance(found, str) or isinstance(expected, str):
            same = found is expected
        else:
            pairs = zip(found, expected, strict=True)
            same = all(ours.tobytes() == theirs.tobytes() for ours, theirs in pairs)
        if not same:
            raise Fault(f"{name} differs from {first}")


# The parent: a process for each seed, and a record of what came of it.


def run_seed(seed: int, count: int, out: Path, sanitized: bool) -> dict[str, Any]:
    """What a batch counted, or ``fault``: what was found, the file kept beside."""
    current = out / f"current-{os.getpid()}.lbw"
    current.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--out", str(out), "--batch", str(seed), str(count)]
    environment = dict(os.environ)
    if sanitized:
        from tests.deploy.csrc import build

        command += ["--library", str(build.library(flags=build.SANITIZED))]
        environment |= build.sanitizer_environment() or {}
    command += ["--current", str(current)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LONGEST, env=environment
        )
        if done.returncode == 0:
            current.unlink()
            return json.loads(done.stdout)  # type: ignore[no-any-return]
        lines = (done.stderr.strip() or "no word").splitlines()
        fault = f"exit code {done.returncode}: {lines[-1] if not sanitized else lines[-1][:500]}"
    except subprocess.TimeoutExpired:
        done, fault = None, f"more than {LONGEST:.0f} s"
    kept = out / f"found-{seed}{'-sanitized' * sanitized}.lbw"
    if current.exists():
        current.replace(kept)
    if done is not None:
        kept.with_suffix(".txt").write_text(done.stderr)
    return {"fault": f"{kept}: {fault}"}


def summary(records: dict[str, Any], seeds: Sequence[int], sanitized: bool) -> dict[str, Any]:
    """The sum of some batches."""
    done = [seed for seed in seeds if str(seed) in records]
    chosen = [records[str(seed)] for seed in done]
    total: Counter[str] = Counter()
    for record in chosen:
        total.update({key: value for key, value in record.items() if key not in ("peak", "fault")})
    peak = max((record.get("peak", 0) for record in chosen), default=0)
    faults = [record["fault"] for record in chosen if "fault" in record]
    return dict(
        sanitized=sanitized,
        seeds=_ranges(done),
        **{key.replace(" ", "_"): total[key] for key in sorted(total)},
        most_mebibytes_above_start=peak >> 20,
        faults=len(faults),
    )


def _ranges(numbers: Sequence[int]) -> str:
    """As ``--seeds`` takes them, and several where some are missing between."""
    known = set(numbers)
    firsts = [number for number in numbers if number - 1 not in known]
    lasts = [number + 1 for number in numbers if number + 1 not in known]
    return " ".join(f"{first}:{last}" for first, last in zip(firsts, lasts, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Give changed artifacts to every engine.")
    parser.add_argument("--seeds", default="0:200", help="first and behind the last [%(default)s]")
    parser.add_argument("--count", type=int, default=BATCH, help="mutants of a seed [%(default)s]")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no batch later [no end]")
    parser.add_argument("--sanitized", action="store_true", help="the engine under sanitizers")
    parser.add_argument("--out", default="work_dirs/fuzz", help="what was done [%(default)s]")
    parser.add_argument("--json", help="write the counts of these seeds here")
    parser.add_argument("--batch", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--current", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    out = Path(options.out)
    if options.batch:
        if options.library:
            native_library.library_path = lambda: options.library
        sources = [path.read_bytes() for path in sorted((out / "seeds").glob("*.lbw"))]
        print(json.dumps(try_batch(*options.batch, sources, options.current)))
        return 0
    from lbwdet.measuring.environment import commit, cpu_name

    out.mkdir(parents=True, exist_ok=True)
    if not (out / "seeds").is_dir():
        subprocess.run([sys.executable, SEEDS, out / "seeds"], check=True)
    code = commit() or "unknown"
    done = out / f"artifacts-{'sanitized-' * options.sanitized}{code[:8]}.json"
    known = done.exists() and not code.endswith("-dirty")
    records: dict[str, Any] = json.loads(done.read_text()) if known else {}
    first, last = map(int, options.seeds.split(":"))
    started = time.monotonic()
    for seed in (seed for seed in range(first, last) if str(seed) not in records):
        if time.monotonic() - started > options.seconds:
            break
        record = run_seed(seed, options.count, out, options.sanitized)
        if "fault" in record:
            print(record["fault"], flush=True)
        # Another process may have written of other seeds meanwhile.
        records |= json.loads(done.read_text()) if known and done.exists() else {}
        records[str(seed)] = record
        write_json(done, records)
        known = True
    result = summary(records, range(first, last), options.sanitized)
    for key, value in result.items():
        print(f"{key.replace('_', ' ')}: {value if isinstance(value, str) else format(value, ',')}")
    if options.json:
        place = Path(options.json)
        report = json.loads(place.read_text()) if place.exists() else {}
        kind = "sanitized" if options.sanitized else "plain"
        report |= {kind: dict(commit=code, cpu=cpu_name(), **result)}
        write_json(place, report)
    return int(result["faults"] > 0)


if __name__ == "__main__":
    sys.exit(main())
