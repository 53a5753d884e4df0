"""The benchmark on a tiny detector: every engine in its own process, one table."""

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lbwdet.benchmark.benchmark import benchmark
from lbwdet.benchmark.engines import OWN
from lbwdet.benchmark.process import EngineError, EngineProcess, EngineSpec
from lbwdet.benchmark.report import markdown, summary
from lbwdet.benchmark.settings import BenchmarkSettings
from lbwdet.cli import main
from lbwdet.configs import load_config
from lbwdet.errors import DataError, LBWError
from lbwdet.measuring.accuracy import detect_all, evaluate
from lbwdet.measuring.candidates import TorchCandidate
from lbwdet.measuring.testset import load_test_set
from lbwdet.tables import bytes_text

pytest.importorskip("onnxruntime")
# Dense peers, which load PyTorch each, are in the test of a given input size.
WHOLE = ["onnxruntime-fp32-whole", "onnxruntime-int8-whole"]
NAMES = ["torch-fp32", *WHOLE, "native", "native-other"]


@pytest.fixture(scope="module")
def out(tiny, artifact, tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    arguments = ["--against", "torch", "onnxruntime-whole"]
    arguments += ["native", "reference", "--quiet-check"]
    arguments += ["--float", f"{tiny.float_config}:{tiny.checkpoint}", "--threads", "1"]
    arguments += ["--rounds", "1", "--accuracy", "--profile", "--out", str(out)]
    other = tmp_path_factory.mktemp("also") / "other.lbw"
    shutil.copyfile(artifact, other)
    assert main(["benchmark", str(artifact), str(other), *arguments]) == 0
    return out


@pytest.fixture(scope="module")
def result(out):
    return json.loads((out / "benchmark.json").read_text())


def test_every_engine_is_timed_on_both_parts(result, out):
    assert result["unavailable"] == {}
    assert result["calibration"] == dict(source="timed", count=result["images"]["count"])
    assert set(result) >= {"input", "threads", "cpu", "commit", "part"}
    for part in ("dense", "end_to_end"):
        engines = result["part"][part]["engines"]
        assert list(engines) == [
            name for name in NAMES if part == "end_to_end" or name not in WHOLE
        ]
        for entry in engines.values():
            assert len(entry["samples_s"]) == result["images"]["count"] * result["rounds"]
            assert 0 < entry["p10_s"] <= entry["median_s"] <= entry["p90_s"]
            assert entry["peak_rss_mb"] > 10 and entry["load_s"] > 0
        ratios = result["part"][part]["ratio_to_torch_fp32"]
        assert ratios["torch-fp32"] == 1
        for name, ratio in ratios.items():
            base = engines["torch-fp32"]["median_s"]
            assert ratio == pytest.approx(base / engines[name]["median_s"])
    assert {path.name for path in (out / "plots").iterdir()} == {"dense.png", "end_to_end.png"}


def test_native_takes_a_fraction_of_the_memory(result):
    engines = result["part"]["end_to_end"]["engines"]
    assert engines["native"]["peak_rss_mb"] < 0.5 * engines["torch-fp32"]["peak_rss_mb"]


def test_accuracy_is_that_of_each_engine(result, tiny):
    cfg = load_config(tiny.float_config)
    test_set = load_test_set(cfg)
    candidate = TorchCandidate("float", cfg, tiny.checkpoint)
    expected = evaluate(detect_all(candidate, test_set), test_set.truths, test_set.classes)
    engines = result["part"]["end_to_end"]["engines"]
    for name in ("torch-fp32", WHOLE[0]):
        assert engines[name]["mAP_11point"] == pytest.approx(expected.map_11point, abs=1e-3)
    assert engines["native"]["mAP_11point"] is not None
    assert engines["native-other"]["mAP_area"] == engines["native"]["mAP_area"]


def test_each_model_is_weighed(result, artifact, tiny, out):
    engines = result["part"]["end_to_end"]["engines"]
    size = artifact.stat().st_size
    assert engines["native"]["file_bytes"] == engines["native-other"]["file_bytes"] == size
    assert engines["torch-fp32"]["file_bytes"] == Path(tiny.checkpoint).stat().st_size
    assert engines["onnxruntime-fp32-whole"]["file_bytes"] > 3 * size
    assert bytes_text(size) in (out / "benchmark.md").read_text()


def test_the_profile_covers_the_operations(result):
    profile = result["part"]["end_to_end"]["engines"]["native"]["profile"]
    kinds = {entry["kind"] for entry in profile}
    boxes = {"Candidates", "Suppress", "Regions", "RegionCandidates", "Rescale", "Detections"}
    assert kinds == {"Preprocess", "Conv", "MaxPool", "RoIAlign"} | boxes
    assert sum(entry["multiplications"] for entry in profile) > 0


def test_the_table_shows_them(out, artifact):
    table = (out / "benchmark.md").read_text()
    for name in [*NAMES[:-2], f"native-{Path(artifact).stem}", "native-other"]:
        assert f"| {name} " in table
    assert "GMAC/s" in table and "not measured" not in table
    assert "each call behind another one of the same engine; each engine in a process" in table
    assert "-whole: the whole detector as one graph" in table


def test_several_artifacts_are_told_apart(result, artifact):
    names = [line.split("|")[1].strip() for line in summary(result).splitlines() if line[:1] == "|"]
    assert names[-2:] == [f"native-{Path(artifact).stem}", "native-other"]
    alone = copy.deepcopy(result)
    for part in alone["part"].values():
        del part["engines"]["native-other"]
    assert "| native " in summary(alone) and f"\n{Path(artifact).name}, " in summary(alone)


def test_it_is_said_whether_the_machine_was_quiet(result, out):
    quiet, table = result["quiet"], (out / "benchmark.md").read_text()
    assert list(quiet["spread"]) == NAMES
    assert ("**The machine was not quiet**" in table) == bool(quiet["why_not"])
    calm = dict(load_during=0.02, spread=dict(a=0.1, b=0.2), why_not=[])
    line = "The machine was quiet: others kept 0.02 CPUs busy, and no engine's times spread"
    assert f"{line} by more than 20% of their median." in markdown(result | dict(quiet=calm))
    busy = dict(calm, why_not=["others kept 2.00 CPUs busy before", "a spreads by 70%"])
    line = "**The machine was not quiet**: others kept 2.00 CPUs busy before; a spreads by 70%."
    assert line in markdown(result | dict(quiet=busy))


def test_a_given_input_size_holds_for_all(tiny, artifact, tmp_path):
    settings = BenchmarkSettings(
        ["torch", "onnxruntime", "native"],
        config=tiny.float_config,
        checkpoint=tiny.checkpoint,
        input_size=(64, 96),
        images="noise",
        calibrate="test",
        num_calibrate=1,
        threads=1,
        rounds=1,
    )
    found = benchmark(artifact, settings, tmp_path)
    assert found["input"] == "64x96"
    assert set(found["part"]["dense"]["engines"]) == {
        *("torch-fp32", "onnxruntime-fp32", "onnxruntime-int8", "native")
    }
    assert found["calibration"] == dict(source="test", count=1)
    assert "calibrated on 1 image (test)" in (tmp_path / "benchmark.md").read_text()


def test_what_cannot_run_is_said(artifact, tmp_path):
    settings = BenchmarkSettings(images="noise", threads=1, rounds=1)
    found = benchmark(artifact, settings, tmp_path)
    assert "no float detector was named" in found["unavailable"]["torch"]
    assert found["part"]["dense"]["ratio_to_torch_fp32"] == {}
    with pytest.raises(LBWError, match="no engine can run: torch"):
        benchmark(artifact, dataclasses.replace(settings, against=["torch"]), tmp_path)


def test_artifacts_of_one_name_are_refused(artifact, tmp_path):
    other = tmp_path / Path(artifact).name
    shutil.copyfile(artifact, other)
    for also in ([other], [artifact], [tmp_path / "b.lbw", tmp_path / "b.lbw"]):
        shutil.copyfile(artifact, tmp_path / "b.lbw")
        settings = BenchmarkSettings(["native"], images="noise", threads=1, also=also)
        with pytest.raises(LBWError, match="have rows by their names"):
            benchmark(artifact, settings, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "999"], "threads=999"),
        (["--input", "600"], "HEIGHTxWIDTH"),
        (["--accuracy"], "--float CONFIG:CHECKPOINT"),
        (["--isa", "mmx", "--against", "native"], "mmx"),
    ],
)
def test_mistakes_are_explained(artifact, arguments, message, tmp_path, capsys):
    assert main(["benchmark", str(artifact), *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_an_engine_that_fails_at_its_first_image_is_left_out(artifact, tmp_path, monkeypatch):
    settings = BenchmarkSettings(["native", "reference"], images="noise", threads=1, rounds=1)
    monkeypatch.setattr("lbwdet.benchmark.timing.EngineProcess.ask", _without_reference)
    found = benchmark(artifact, settings, tmp_path)
    assert found["unavailable"] == dict(reference="reference: no compiler")
    assert list(found["part"]["end_to_end"]["engines"]) == ["native"]
    assert found["quiet"] is None


_ask = EngineProcess.ask


def _without_reference(process, call, image=None):
    if process.name == "reference":
        raise EngineError("reference: no compiler")
    return _ask(process, call, image)


def test_an_engine_that_dies_is_reported(artifact, tmp_path):
    spec = EngineSpec(
        "gone", OWN, "NativeBenchmark", dict(path=str(tmp_path / "no.lbw"), threads=1)
    )
    with pytest.raises(EngineError, match=r"gone: ArtifactError: .*no\.lbw"):
        EngineProcess(spec, 1, tmp_path / "log")
    spec = EngineSpec("gone", "os", "_exit", dict(status=3))
    with pytest.raises(EngineError, match="its process ended with 3"):
        EngineProcess(spec, 1, tmp_path / "log")


def test_detections_come_back_whole(artifact, tmp_path):
    image = tmp_path / "image.npy"
    np.save(image, np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8))
    spec = EngineSpec("native", OWN, "NativeBenchmark", dict(path=str(artifact), threads=1))
    with EngineProcess(spec, 1, tmp_path / "log") as process:
        answer = process.ask("detect", image)
    assert len(answer["boxes"]) == len(answer["scores"]) == len(answer["labels"]) > 0


def test_times_stand_where_an_image_fails(tiny, artifact, tmp_path, monkeypatch):
    def fail(bench, spec, test_set):
        raise DataError("000002.jpg: not an image")

    monkeypatch.setattr("lbwdet.benchmark.benchmark.engine_accuracy", fail)
    settings = BenchmarkSettings(
        ["native"], config=tiny.float_config, threads=1, rounds=1, accuracy=True
    )
    found = benchmark(artifact, settings, tmp_path)
    assert found["unavailable"] == {"mAP of native": "000002.jpg: not an image"}
    assert found["part"]["end_to_end"]["engines"]["native"]["median_s"] > 0
