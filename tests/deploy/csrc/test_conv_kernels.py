"""The convolution kernels: builds and runs ``csrc/tests/test_conv.cpp``, also under sanitizers."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SOURCES = REPOSITORY / "lbwdet" / "deploy" / "csrc"
SHAPES = json.loads((REPOSITORY / "benchmarks" / "conv_shapes.json").read_text())

COMPILER = shutil.which("g++") or shutil.which("clang++")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")


def build(folder: Path, *flags: str) -> Path:
    assert COMPILER is not None
    program = folder / "test_conv"
    common = ["-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-pthread", *flags]
    objects = []
    running = []
    for source in [*sorted((SOURCES / "conv").glob("*.cpp")), SOURCES / "tests" / "test_conv.cpp"]:
        objects.append(str(folder / f"{source.stem}.o"))
        command = [COMPILER, *common, "-c", str(source), "-o", objects[-1]]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        if len(running) == 2:
            finish(running.pop(0))
    for process in running:
        finish(process)
    finish(subprocess.Popen([COMPILER, *common, *objects, "-o", str(program)]))
    return program


def finish(process: subprocess.Popen[str]) -> None:
    errors = process.communicate()[1]
    assert process.returncode == 0, errors


def real_layers() -> str:
    """Every distinct layer of the networks as ``in out kernel stride padding``."""
    index = [SHAPES["columns"].index(name) for name in ("ci", "co", "kernel", "stride", "padding")]
    layers = {tuple(row[i] for i in index) for rows in SHAPES["networks"].values() for row in rows}
    assert len(layers) > 30
    return "".join(" ".join(map(str, layer)) + "\n" for layer in sorted(layers))


def run(program: Path, *arguments: str) -> str:
    result = subprocess.run(
        [program, *arguments], input=real_layers(), capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_kernel_of_this_cpu_equals_the_definition(tmp_path: Path) -> None:
    output = run(build(tmp_path, "-O2"))
    assert "portable" in output.splitlines()[0]
    assert output.splitlines()[-1].endswith(" 0 failures")
    assert int(output.splitlines()[-1].split()[0]) > 50_000


def test_no_access_out_of_bounds_and_no_undefined_arithmetic(tmp_path: Path) -> None:
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    assert run(build(tmp_path, *flags), "--reduced").splitlines()[-1].endswith(" 0 failures")
