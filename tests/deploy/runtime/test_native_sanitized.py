"""The native engine under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import subprocess
import sys

import pytest

from tests.deploy.csrc import build

pytestmark = pytest.mark.skipif(build.COMPILER is None, reason="no C++ compiler")

DETECTORS = """
import sys
from pathlib import Path
import numpy as np
from lbwdet.deploy.runtime import native, native_library
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact

native_library.library_path = lambda: Path(sys.argv[1])
native.available_threads = lambda: 3
runs = 0
for artifact in (
    tiny_artifact(),
    tiny_artifact(channels=11, class_agnostic=True, activation_bits=4),
    tiny_rfcn_artifact(channels=5, sampling_ratio=0),
):
    reference = ReferenceEngine(artifact)
    for isa, usable in native.instruction_sets().items():
        if not usable:
            continue
        with native.NativeEngine(artifact, threads=3, isa=isa) as engine:
            for size in ((61, 97), (1, 1)):
                image = random_image(1, *size)
                for ours, theirs in zip(engine.detect(image), reference.detect(image)):
                    assert np.array_equal(ours, theirs)
                engine.values(image, ["proposals", "stem", "scores"])
                runs += 1
print("runs:", runs)
"""
OPERATIONS = """
import sys
from pathlib import Path
import numpy as np
from lbwdet.deploy.runtime import native, native_library
from lbwdet.deploy.runtime.alone import compute_alone, run_alone
from lbwdet.deploy.runtime.operations import every_operation

native_library.library_path = lambda: Path(sys.argv[1])
isas = [isa for isa, usable in native.instruction_sets().items() if usable]
def bytes_of(value):
    return [bytes_of(each) for each in value] if isinstance(value, tuple) else value.tobytes()
runs = 0
for kind in every_operation().values():
    for seed in range(6):
        example = kind.example(np.random.default_rng(seed))
        expected = compute_alone(example)
        for isa in (isas[0], isas[-1]):
            found = run_alone(example, isa=isa, threads=1 + seed % 3, border=seed % 2)
            assert bytes_of(found) == bytes_of(expected), kind
            runs += 1
print("runs:", runs)
"""
WRONG = """
import sys
from pathlib import Path
import numpy as np
from lbwdet.deploy.runtime import native, native_library
from lbwdet.deploy.runtime.native_program import Field, Fields, field
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact

native_library.library_path = lambda: Path(sys.argv[1])
random = np.random.default_rng(0)
runs, refused = 0, 0


class Wrong(Fields):
    # Fields of which one, of one operation, is not what it was.

    def __init__(self, operation, context, values):
        super().__init__(operation, context, values)
        if next(Wrong.countdown) != 0 or not len(self):
            return
        at = int(random.integers(len(self)))
        entry = self.array[at]
        wrong = [
            field(entry.name.decode(), np.array(numbers, dtype))
            for numbers in ([], [0], [-1], [1, 2], [1 << 30], [3] * 300)
            for dtype in (np.int32, np.float32)
        ]
        wrong += [Field(entry.name, entry.kind, count, None) for count in (-1, 1)]
        wrong.append(Field(entry.name, 99, entry.count, entry.data))
        for value in (0, 1, 30, -1, 1 << 30):
            indices = np.array([value] * max(entry.count, 1), np.int32)
            wrong.append(field(entry.name.decode(), indices, native_library.FieldKind.VALUE))
        self._fields = [*self._fields]
        self._fields[at] = wrong[int(random.integers(len(wrong)))]
        self.array = (Field * len(self))(*self._fields)


native.Fields = Wrong
for make in (tiny_artifact, tiny_rfcn_artifact):
    artifact = make(channels=2, size=(48, 32))
    for index in list(range(len(artifact.program.operations))) * 2:
        Wrong.countdown = iter(range(index, -1000, -1))
        runs += 1
        try:
            limits = dict(memory_limit=1 << 26, work_limit=1 << 28)
            with native.NativeEngine(artifact, threads=1, **limits) as engine:
                engine.detect(random_image(0, 30, 40))
        except native.NativeError:
            refused += 1
assert refused > runs / 4, (refused, runs)
print("runs:", runs)
"""


@pytest.fixture(scope="module")
def library():
    if build.sanitizer_environment() is None:
        pytest.skip("the compiler has no sanitizers")
    return build.library(flags=build.SANITIZED)


@pytest.mark.parametrize(
    ("program", "runs"),
    [(DETECTORS, 12), (OPERATIONS, 16 * 6 * 2), (WRONG, 150)],
    ids=["detectors", "operations", "wrong descriptions"],
)
def test_a_clean_run(library, program, runs):
    run = subprocess.run(
        [sys.executable, "-c", program, library],
        capture_output=True,
        text=True,
        env={**os.environ, **build.sanitizer_environment()},
        timeout=500,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert int(run.stdout.split("runs:")[1]) >= runs
