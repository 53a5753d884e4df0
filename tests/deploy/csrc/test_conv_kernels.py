"""The convolution kernels: builds and runs ``csrc/tests/test_conv.cpp``, also under sanitizers."""

import importlib.util
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SOURCES = REPOSITORY / "lbwdet" / "deploy" / "csrc"
BENCHMARKS = REPOSITORY / "benchmarks"
SHAPES = json.loads((BENCHMARKS / "conv_shapes.json").read_text())
KERNELS = {source.stem for source in (SOURCES / "conv").glob("*.cpp")}
FLAGS = ["-std=c++17", "-ffp-contract=off", "-pthread"]

COMPILER = shutil.which("g++") or shutil.which("clang++")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")


def compile_objects(folder: Path, *flags: str) -> list[Path]:
    """Objects of the kernels, the test and the benchmark program; two compilers at a time."""
    sources = sorted((SOURCES / "conv").glob("*.cpp"))
    sources += [SOURCES / "tests" / "test_conv.cpp", SOURCES / "bench" / "conv_bench.cpp"]
    objects = [folder / f"{source.stem}.o" for source in sources]

    def compile_one(source: Path, target: Path) -> None:
        warnings = ["-Wall", "-Wextra", "-Werror"]
        call_compiler(*FLAGS, *warnings, *flags, "-c", str(source), "-o", str(target))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_one, sources, objects))
    return objects


def link(objects: list[Path], program: str, *flags: str) -> Path:
    """``test_conv`` or ``conv_bench`` out of what ``compile_objects`` made."""
    target = objects[0].parent / program
    parts = [str(path) for path in objects if path.stem in KERNELS or path.stem == program]
    call_compiler(*FLAGS, *flags, *parts, "-o", str(target))
    return target


def call_compiler(*arguments: str) -> None:
    assert COMPILER is not None
    result = subprocess.run([COMPILER, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return compile_objects(tmp_path_factory.mktemp("kernels"), "-O2")


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


def test_every_kernel_of_this_cpu_equals_the_definition(objects: list[Path]) -> None:
    output = run(link(objects, "test_conv"))
    assert "portable" in output.splitlines()[0]
    assert output.splitlines()[-1].endswith(" 0 failures")
    assert int(output.splitlines()[-1].split()[0]) > 50_000


def test_no_access_out_of_bounds_and_no_undefined_arithmetic(tmp_path: Path) -> None:
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = link(compile_objects(tmp_path, *flags), "test_conv", *flags)
    assert run(program, "--reduced").splitlines()[-1].endswith(" 0 failures")


def test_the_benchmark_runs(
    objects: list[Path],
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
    monkeypatch.setattr(benchmark, "build", lambda folder: link(objects, "conv_bench"))
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
    with pytest.raises(SystemExit, match="no kernel 'abacus' on this CPU"):
        benchmark.main()
