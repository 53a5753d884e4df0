"""Tries an installed lbwdet that has numpy beside it and nothing else.

    python tests/package/check_installed.py

Every operation gives the reference's bytes on every instruction set of this CPU, and so do whole
detectors, from files and from memory. Prints what there was and a checksum of all results; ends
with 1 and a sentence where something differs.
"""

import hashlib
import importlib.metadata
import sys
from pathlib import Path

import numpy as np

import lbwdet.deploy.runtime.operations  # registers them
from lbwdet.deploy.runtime.alone import compute_alone, run_alone
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.deploy.runtime.native import NativeEngine, instruction_sets
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact

GOLDEN = Path(__file__).resolve().parents[1] / "deploy" / "golden"
CASES = 4  # of each operation


def main() -> int:
    usable = [name for name, supported in instruction_sets().items() if supported]
    checksum = hashlib.sha256()
    for kind in Operation.registry.values():
        for seed in range(CASES):
            example = kind.example(np.random.default_rng(seed))
            expected = as_bytes(compute_alone(example))
            checksum.update(expected)
            for isa in usable:
                if as_bytes(run_alone(example, isa=isa, threads=1 + seed % 2)) != expected:
                    return differs(f"{kind.__name__}, seed {seed}", isa)
    artifacts = {path.name: read_artifact(path) for path in sorted(GOLDEN.glob("*.lbw"))}
    artifacts |= {make.__name__: make() for make in (tiny_artifact, tiny_rfcn_artifact)}
    image, found = random_image(0, 61, 97), 0
    for name, artifact in artifacts.items():
        detections = ReferenceEngine(artifact).detect(image)
        expected = as_bytes(detections)
        checksum.update(expected)
        found += len(detections[1])
        for isa in usable:
            with NativeEngine(artifact, threads=1, isa=isa) as engine:
                if as_bytes(engine.detect(image)) != expected:
                    return differs(name, isa)
    names = {entry.metadata["Name"].lower() for entry in importlib.metadata.distributions()}
    print(f"package: {Path(lbwdet.__file__).parent}")
    print(f"others here: {', '.join(sorted(names - {'lbwdet'}))}")
    print(f"instruction sets: {', '.join(usable)}")
    print(f"equal: {len(Operation.registry)} operations, {len(artifacts)} detectors")
    print(f"detections: {found}")
    print(f"checksum: {checksum.hexdigest()}")
    return 0


def as_bytes(result: object) -> bytes:
    if isinstance(result, tuple):
        return b"".join(as_bytes(part) for part in result)
    return np.asarray(result).tobytes()


def differs(what: str, isa: str) -> int:
    print(f"{what}: {isa} gives other bytes than the reference", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
