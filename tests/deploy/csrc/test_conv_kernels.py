"""The convolution kernels: builds and runs ``csrc/tests/test_conv.cpp``, also under sanitizers."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from tests.deploy.csrc import build

BENCHMARKS = build.REPOSITORY / "benchmarks"
SHAPES = json.loads((BENCHMARKS / "conv_shapes.json").read_text())
TEST = build.CSRC / "tests" / "test_conv.cpp"
BENCH = build.CSRC / "bench" / "conv_bench.cpp"
ROOMS = ("conv", "isa")

pytestmark = pytest.mark.skipif(build.COMPILER is None, reason="no C++ compiler")


def real_layers() -> str:
    """Every distinct layer of the networks as ``in out kernel stride padding``."""
    index = [SHAPES["columns"].index(name) for name in ("ci", "co", "kernel", "stride", "padding")]
    layers = {tuple(row[i] for i in index) for rows in SHAPES["networks"].values() for row in rows}
    assert len(layers) > 30
    return "".join(" ".join(map(str, layer)) + "\n" for layer in sorted(layers))


def run(*command: str | Path) -> str:
    result = subprocess.run(
        command, input=real_layers(), capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_kernel_of_this_cpu_equals_the_definition() -> None:
    first, *_, last = run(build.program(TEST, ROOMS)).splitlines()
    kernels = first.removeprefix("kernels: ").split()
    assert "portable" in kernels
    assert last.endswith(" 0 failures")
    assert int(last.split()[0]) > 20_000 * len(kernels)


def test_no_access_out_of_bounds_and_no_undefined_arithmetic() -> None:
    program = build.program(TEST, ROOMS, build.SANITIZED)
    assert run(program, "--reduced").splitlines()[-1].endswith(" 0 failures")


def test_the_benchmark_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = importlib.util.spec_from_file_location("conv_kernels", BENCHMARKS / "conv_kernels.py")
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    layers = [
        ["stem", 1, 20, 24, 3, 8, 7, 2, 3, "u8"],
        ["conv", 1, 10, 12, 8, 16, 1, 1, 0, "residual"],
        ["roi.fc", 5, 3, 3, 16, 4, 3, 1, 0, "float"],
    ]
    monkeypatch.setitem(benchmark.SHAPES["networks"], "r18", layers)
    monkeypatch.setattr(benchmark, "build", lambda folder: build.program(BENCH, ROOMS))
    out = tmp_path / "result.json"
    arguments = ["--network", "r18", "--repeats", "2", "--threads", "1", "2", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["conv_kernels.py", *arguments])
    benchmark.main()
    one, two = json.loads(out.read_text())["cases"]
    assert (one["threads"], two["threads"]) == (1, 2)
    assert one["layers"][0]["gmac"] * 1e9 == pytest.approx(10 * 12 * 8 * 3 * 49)
    assert all(0 < layer["ms"] <= layer["median_ms"] for layer in one["layers"])
    assert "with RoI head" in capsys.readouterr().out

    monkeypatch.setattr("sys.argv", ["conv_kernels.py", "--isa", "abacus"])
    with pytest.raises(SystemExit, match="no instruction set abacus"):
        benchmark.main()
