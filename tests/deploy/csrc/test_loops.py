"""Inner loops against their definition: builds and runs ``csrc/tests/test_loops.cpp``."""

import subprocess

import pytest

from tests.deploy.csrc import build

TEST = build.CSRC / "tests" / "test_loops.cpp"
ROOMS = ("conv", "isa")


@pytest.mark.skipif(build.COMPILER is None, reason="no C++ compiler")
def test_every_vector_of_this_cpu_equals_the_definition() -> None:
    result = subprocess.run(
        [build.program(TEST, ROOMS)], capture_output=True, text=True, timeout=100
    )
    first, last = result.stdout.splitlines()[0], result.stdout.splitlines()[-1]
    assert result.returncode == 0, result.stdout + result.stderr
    assert last.endswith(" 0 failures")
    assert int(last.split()[0]) > 1_000_000 * len(first.split())
