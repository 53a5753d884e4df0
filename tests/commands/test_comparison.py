import argparse
import dataclasses

import pytest

from lbwdet.benchmark.settings import ENGINES, BenchmarkSettings
from lbwdet.cli import COMMANDS, main
from lbwdet.comparison.compare import CompareSettings
from lbwdet.comparison.specs import ArtifactSpec, ModelSpec

COMPARE = "lbwdet.comparison.compare:compare"
BENCHMARK = "lbwdet.benchmark.benchmark:benchmark"


@pytest.fixture(autouse=True)
def no_tables(monkeypatch):
    monkeypatch.setattr("lbwdet.comparison.results.markdown", str)
    monkeypatch.setattr("lbwdet.benchmark.report.markdown", str)


@pytest.mark.parametrize("flag", ["--out-dir", "--out"])
def test_compare(asked, flag, capsys):
    line = ["compare", "a=b.py:c.pth", "d=e.lbw", flag, "x", "--threads", "2", "--data-root", "r"]
    call = asked(COMPARE, {}, *line)
    assert call["models"] == [ModelSpec("a", "b.py", "c.pth"), ArtifactSpec("d", "e.lbw")]
    settings = CompareSettings(threads=2, data_root="r")
    assert (call["out_dir"], call["settings"]) == ("x", settings)
    assert "Report: x/report/index.html" in capsys.readouterr().out
    call = asked(COMPARE, {}, *line, "--no-latency")
    assert call["settings"] == dataclasses.replace(settings, latency_rounds=0)


@pytest.mark.parametrize("flag", ["--out-dir", "--out"])
def test_benchmark(asked, flag):
    call = asked(BENCHMARK, {}, "benchmark", "m.lbw", flag, "x", "--num-images", "3")
    settings = BenchmarkSettings(["torch", "native"], num_accuracy_images=3)
    assert call == dict(artifact="m.lbw", settings=settings, out_dir="x")
    call = asked(BENCHMARK, {}, "benchmark", "m.lbw", "n.lbw", "o.lbw")
    assert (call["artifact"], call["settings"].also) == ("m.lbw", ["n.lbw", "o.lbw"])
    line = ["benchmark", "m.lbw", "--float", "a.py:b.pth", "--input", "6x8", "--images", "test"]
    call = asked(BENCHMARK, {}, *line, "--calibrate", "val", "--num-calibrate", "5")
    settings = BenchmarkSettings(
        ["torch", "native"],
        config="a.py",
        checkpoint="b.pth",
        input_size=(6, 8),
        images="test",
        calibrate="val",
        num_calibrate=5,
    )
    assert (call["settings"], call["out_dir"]) == (settings, "work_dirs/benchmark")


def test_every_engine_can_be_chosen():
    parser = argparse.ArgumentParser()
    COMMANDS["benchmark"][0](parser)
    assert set(parser.parse_args(["m.lbw", "--against", *ENGINES]).against) == set(ENGINES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.py", "--out", "x"], "error: 'a.py': no name before a '='"),
        (["a=b.py:c.pth", "--out", "x"], "error: b.py: no such config"),
    ],
)
def test_models_that_cannot_be_compared(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message) and "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare"],
        ["compare", "a=b.py:c.pth"],
        ["compare", "a=b.py:c.pth", "--out", "x", "--threads", "0"],
        ["compare", "a=b.py:c.pth", "--out", "x", "--cfg-options", "word"],
        ["benchmark", "m.lbw", "--against", "warp"],
        ["benchmark", "m.lbw", "--threads", "0"],
    ],
)
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err
