"""The script prepares a detector and measures it, so that it cannot rot; timings are not judged."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

from lbwdet.benchmark.peers import set_input_size
from lbwdet.benchmark.settings import ENGINES
from lbwdet.configs import load_config
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.testing import tiny_config

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "detectors.py"


@pytest.fixture
def detectors(monkeypatch):
    spec = importlib.util.spec_from_file_location("detectors", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "detectors", module)  # where dataclasses look names up
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(library_path() is None, reason="the native engine is not built")
def test_a_small_detector(detectors, monkeypatch, tmp_path, capsys):
    config = tmp_path / "retinanet.py"
    cfg = tiny_config(tmp_path, tmp_path, model="retinanet_r50_fpn")
    set_input_size(cfg, (64, 96))
    cfg.dump(str(config))
    case = detectors.Case(str(config), (64, 96), "bbox_head.retina_cls")
    monkeypatch.setitem(detectors.CASES, "r50", case)
    out = tmp_path / "result.json"
    line = ["r50", "--rounds", "1", "--threads", "1", "--against", "native"]
    line += ["--work-dir", str(tmp_path / "work"), "--out", str(out)]
    detectors.prepare("r50", tmp_path / "work", [6])
    trained = tmp_path / "trained.lbw"
    shutil.copyfile(tmp_path / "work" / "6bit.lbw", trained)
    line += ["--also", str(trained)]
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *line])
    detectors.main()
    result = json.loads(out.read_text())
    assert list(result["part"]["end_to_end"]["engines"]) == ["native", "native-trained"]
    rates = result["part"]["end_to_end"]["engines"]["native"]["images_per_second"]
    assert min(rates) > 0
    assert result["input"] == "64x96" and "load_during" in result["quiet"]
    assert "| native-6bit " in capsys.readouterr().out
    threshold = load_config(tmp_path / "work" / "float.py").model.test_cfg.score_thr
    assert 0.001 < threshold < 0.999
    again = detectors.prepare("r50", tmp_path / "work", [6])  # finds what is there
    assert again.artifacts[0].stat().st_mtime < out.stat().st_mtime


def test_every_case_has_its_config(detectors):
    assert set(detectors.DENSE_PEERS) < set(ENGINES)
    for case in detectors.CASES.values():
        model = load_config(case.config).model
        assert (case.classifier is None) == (case.trained or "roi_head" in model)


def test_weights_have_to_be_named(detectors, tmp_path):
    with pytest.raises(SystemExit, match="--weights"):
        detectors.prepare("yolox_nano", tmp_path / "work", [6])
