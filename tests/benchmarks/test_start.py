"""Fresh processes say how long they took to start, and what they remember."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.testing import tiny_artifact

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "start.py"
pytestmark = [
    pytest.mark.skipif(library_path() is None, reason="the native engine is not built"),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="not Linux"),
]


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_a_start(tmp_path, monkeypatch, capsys):
    model, out = tmp_path / "tiny.lbw", tmp_path / "start.json"
    write_artifact(model, tiny_artifact())
    line = [f"tiny={model}", "--threads", 1, "--rounds", 2, "--size", 40, 50, "--out", out]
    run(monkeypatch, *line)
    found = json.loads(out.read_text())["models"]["tiny"]
    steps, memory = found["steps"], found["memory"]
    assert 0 < steps["load"]["p10_s"] <= steps["load"]["median_s"] <= steps["load"]["p90_s"]
    whole = steps["import_and_load"]["samples_s"]
    parts = zip(steps["import"]["samples_s"], steps["load"]["samples_s"], strict=True)
    assert whole == pytest.approx([sum(each) for each in parts], abs=1e-3) and len(whole) == 2
    assert memory["weights"] > 0 and memory["values"] >= 40 * 50 * 3
    assert memory["grown"] == memory["peak"] - memory["before"] > 0
    assert "| tiny " in capsys.readouterr().out


def test_a_file_that_is_none(tmp_path, monkeypatch):
    (tmp_path / "none.lbw").write_bytes(b"none")
    with pytest.raises(SystemExit, match="are too few for an artifact"):
        run(monkeypatch, f"none={tmp_path / 'none.lbw'}", "--rounds", 1, "--out", tmp_path / "o")
