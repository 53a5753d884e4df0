import json
from typing import Any

import pytest

from lbwdet.cli import main
from lbwdet.errors import ConfigError
from lbwdet.studies.zoo import walk as walking
from lbwdet.studies.zoo.isolated import Isolated
from lbwdet.studies.zoo.trial import STEPS
from lbwdet.studies.zoo.walk import isolated_trial, outcome, walk

ALL_RUN = dict.fromkeys(STEPS)
GOOD = dict(built=True, quantized_layers=3, float=ALL_RUN, quantized=ALL_RUN)
NAMES = ["a/one.py", "a/same.py", "a/two.py", "b/no_model.py", "b/one.py", "b/unreadable.py"]


@pytest.fixture
def zoo(monkeypatch):
    """Six configs of four kinds, and the models tried, in order."""
    tried: list[str] = []

    def load_model(name: str) -> dict[str, Any]:
        if "unreadable" in name:
            raise ConfigError("no") from ModuleNotFoundError("No module named 'mmpretrain'")
        if "no_model" in name:
            raise KeyError("model")
        return dict(type="one" if "same" in name else name.split("/")[1][:-3], family=name[0])

    def isolated(model: dict[str, Any], timeout: int) -> dict[str, Any]:
        tried.append(f"{model['family']}/{model['type']}")
        found = (
            dict(GOOD, quantized=dict(ALL_RUN, loss="broken")) if model["type"] == "two" else GOOD
        )
        return dict(found) | outcome(found) | dict(seconds=1.0)

    monkeypatch.setattr(walking, "shipped_configs", lambda pattern: NAMES)
    monkeypatch.setattr(walking, "load_model", load_model)
    monkeypatch.setattr(walking, "isolated_trial", isolated)
    return tried


class TestWalk:
    def test_each_model_once_and_each_family_soon(self, zoo, tmp_path):
        content = walk(tmp_path / "zoo.json")
        assert zoo == ["a/one", "b/one", "a/two"]
        entries = {entry["config"]: entry for entry in content["configs"]}
        assert list(entries) == NAMES
        assert entries["a/same.py"]["same_model_as"] == "a/one.py"
        assert entries["a/same.py"]["outcome"] == entries["a/one.py"]["outcome"] == "runs"
        assert entries["b/one.py"]["family"] == "b" and "same_model_as" not in entries["b/one.py"]
        assert entries["a/two.py"]["outcome"] == "fails quantized"
        assert entries["a/two.py"]["reason"] == "loss: broken"
        assert entries["b/no_model.py"]["outcome"] == "no model"
        assert entries["b/unreadable.py"]["reason"] == (
            "config: ModuleNotFoundError: No module named 'mmpretrain'"
        )
        assert json.loads((tmp_path / "zoo.json").read_text()) == content

    def test_goes_on_where_it_was_stopped(self, zoo, tmp_path):
        out = tmp_path / "zoo.json"
        walk(out)
        content = json.loads(out.read_text())
        for entry in content["configs"]:
            if entry["config"] == "b/one.py":
                del entry["outcome"]  # as while its trial runs
        out.write_text(json.dumps(content))
        walk(out)
        assert zoo[3:] == ["b/one"]
        walk(out, retry=True)
        assert zoo[4:] == ["a/two"]

    def test_a_model_that_changed(self, zoo, tmp_path, monkeypatch):
        walk(tmp_path / "zoo.json")
        monkeypatch.setattr(walking, "load_model", lambda name: dict(type="new", family=name[0]))
        walk(tmp_path / "zoo.json")
        assert zoo[3:] == ["a/new", "b/new"]

    def test_not_its_file(self, zoo, tmp_path, capsys):
        (tmp_path / "zoo.json").write_text("[]")
        assert main(["zoo", "--out", str(tmp_path / "zoo.json")]) == 2
        assert "not a file of this command" in capsys.readouterr().err

    def test_command(self, zoo, tmp_path, capsys):
        assert main(["zoo", "--out", str(tmp_path / "zoo.json")]) == 0
        assert "3 runs: every step runs" in capsys.readouterr().out


class TestOutcome:
    @pytest.mark.parametrize(
        "plain, quantized, name, why",
        [
            ({}, {}, "runs", None),
            (dict(predict="x"), dict(predict="y"), "runs in part", "predict: x"),
            (dict.fromkeys(STEPS, "x"), {}, "fails in float", "x"),
            ({}, dict(backward="x"), "fails quantized", "backward: x"),
            (dict(predict="x"), dict(predict="x", loss="y"), "fails quantized", "loss: y"),
        ],
    )
    def test_names_the_side_that_fails(self, plain, quantized, name, why):
        found = {"float": ALL_RUN | plain, "quantized": ALL_RUN | quantized}
        assert outcome(found) == dict(outcome=name, reason=why)

    def test_without_a_quantized_run(self):
        assert outcome(dict(float=ALL_RUN)) == dict(
            outcome="fails quantized", reason="loss: not reached"
        )


class TestIsolatedTrial:
    @pytest.mark.parametrize(
        "doing, name, why",
        [
            ("float", "fails in float", "float: the process ended with code 7"),
            ("quantized", "fails quantized", "quantized: the process ended with code 7"),
        ],
    )
    def test_a_process_that_dies(self, monkeypatch, doing, name, why):
        told = dict(built=True, doing=doing) | (dict(float=ALL_RUN) if doing == "quantized" else {})
        died = Isolated(told, "the process ended with code 7", 1.5)
        monkeypatch.setattr(walking, "run_isolated", lambda *_: died)
        found = isolated_trial({}, timeout=1)
        assert found["outcome"] == name and why in found["reason"] and found["seconds"] == 1.5

    def test_a_real_one(self):
        found = isolated_trial(dict(type="NoSuchDetector"), timeout=120)
        assert found["outcome"] == "fails in float" and found["built"] is False
        assert "NoSuchDetector" in found["reason"]
