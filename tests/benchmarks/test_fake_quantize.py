"""The benchmark runs, so that it cannot rot; its timings are not judged here."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "fake_quantize.py"


@pytest.fixture
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fake_quantize_benchmark", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_time_and_memory_of_a_small_detector(benchmark, monkeypatch, tmp_path, capsys):
    out = tmp_path / "result.json"
    small = ["--depth", "18", "--size", "64", "64", "--repeats", "1", "--memory-steps", "1"]
    monkeypatch.setattr("sys.argv", [str(BENCHMARK), *small, "--threads", "1", "--out", str(out)])
    # The processes of the memory part are this one: their start takes longer than the rest.
    arguments = benchmark.parse_arguments()
    arguments.peak_of = 6
    peak = benchmark.peak_memory(arguments)
    assert peak > 100 * 2**20
    monkeypatch.setattr(
        benchmark,
        "measure_memory",
        lambda arguments: dict(float_bytes=peak, quantized_bytes=peak, ratio=1.0),
    )
    benchmark.main()
    report = json.loads(out.read_text())
    time = report["time"]
    assert time["num_layers"] == 35 and time["num_weights"] < time["num_parameters"]
    for granularity in ("tensor", "channel"):
        cost = time[granularity]
        milliseconds = cost["fake_quantize_ms"]["median"]
        assert cost["ns_per_weight"] == pytest.approx(milliseconds * 1e6 / time["num_weights"])
        assert cost["share_of_float_step"] == pytest.approx(
            milliseconds / time["float_step_ms"]["median"]
        )
    assert report["threads"] == 1 and report["device"]
    assert "float training step" in capsys.readouterr().out
