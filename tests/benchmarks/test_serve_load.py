"""Load for some seconds: the server loses no answer, and the script holds it to that."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.testing import tiny_artifact
from lbwdet.errors import DataError

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "serve_load.py"
pytestmark = pytest.mark.skipif(library_path() is None, reason="the native engine is not built")


@pytest.fixture
def serve_load(monkeypatch):
    spec = importlib.util.spec_from_file_location("serve_load", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "serve_load", module)  # where dataclasses look names up
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SIZES", module.SIZES[:4])
    return module


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.lbw"
    write_artifact(path, tiny_artifact())
    return str(path)


def test_load_of_some_seconds(serve_load, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(serve_load, "LEAVING", 0.1)
    monkeypatch.setattr(serve_load, "FLAT", 0.5)  # caches fill for longer than this lasts
    out = tmp_path / "serve.json"
    line = [str(SCRIPT), model, "--seconds", "3", "--clients", "19", "--out", str(out)]
    monkeypatch.setattr("sys.argv", line)
    serve_load.main()
    result = json.loads(out.read_text())
    assert result["lost"] == result["wrong"] == 0
    assert set(result["statuses"]) >= {"200", "400", "413", "415", "422"}
    assert {"raw", "form", "json", "truncated", "too many pixels"} <= set(result["kinds"])
    assert result["left"] > 0
    assert "answers lost, 0 wrong" in capsys.readouterr().out


def test_a_wrong_and_a_lost_answer_are_seen(serve_load, model):
    with serve_load.server(model, 1, 1) as (_, port):
        tally = serve_load.Tally()
        client = serve_load.Client(port, tally)
        (case, *_) = serve_load.broken_cases(serve_load.files_of(None)[0])
        client.ask(case)
        assert (tally.wrong, tally.lost) == ([], [])
        client.ask(serve_load.Case("raw", case.body, case.content_type, 200, b"boxes"))
        client.close()
    client.ask(case)
    assert len(tally.wrong) == 1 and tally.wrong[0].startswith("raw: 400 b'{")
    assert len(tally.lost) == 1 and "Connection" in tally.lost[0]


def test_a_server_that_does_not_begin(serve_load, tmp_path, capfd):
    with pytest.raises(DataError, match="did not begin"):
        serve_load.server(str(tmp_path / "missing.lbw"), 1, 1).__enter__()
    assert "missing.lbw" in capfd.readouterr().err
