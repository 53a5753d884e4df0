"""The native engine under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lbwdet.deploy

CSRC = Path(lbwdet.deploy.__file__).parent / "csrc"
FLAGS = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
RUN = """
import sys
from pathlib import Path
import numpy as np
from lbwdet.deploy.runtime import native, native_library
from lbwdet.deploy.runtime.reference import ReferenceEngine
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


def runtime(name):
    """A library of the compiler, as something that can be loaded before Python itself."""
    printed = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True)
    return printed.stdout.strip()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    if not all(Path(runtime(name)).is_absolute() for name in ("libasan.so", "libubsan.so")):
        pytest.skip("g++ without sanitizers")
    folder = tmp_path_factory.mktemp("sanitized")
    sources = [path for path in CSRC.rglob("*.cpp") if not {"tests", "bench"} & {*path.parts}]

    def compiled(numbered):
        number, source = numbered
        target = folder / f"{number}.o"
        command = ["g++", *FLAGS, "-std=c++17", "-ffp-contract=off", "-fPIC", "-pthread"]
        subprocess.run([*command, "-c", source, "-o", target], check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, enumerate(sources)))
    subprocess.run(
        ["g++", *FLAGS, "-shared", "-pthread", *objects, "-o", folder / "l.so"], check=True
    )
    return folder / "l.so"


def test_a_clean_run(library):
    libraries = [runtime(name) for name in ("libasan.so", "libubsan.so", "libstdc++.so")]
    # Python itself does not free everything at its end.
    environment = {"LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}
    run = subprocess.run(
        [sys.executable, "-c", RUN, library],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=500,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert int(run.stdout.split("runs:")[1]) >= 4
