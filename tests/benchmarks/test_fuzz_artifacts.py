"""A hundred of the changed artifacts that ``make fuzz`` tries for minutes, always the same ones."""

import importlib.util
import json
import random
import sys
from pathlib import Path

import pytest

from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.errors import ArtifactError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "fuzz"
COUNT = 100


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def artifacts():
    return load("artifacts")


@pytest.fixture(scope="module")
def seeds():
    return load("artifact_seeds")


@pytest.fixture(scope="module")
def sources(seeds):
    return seeds.written()


def test_what_mutants_are_made_of_is_sound(sources, tmp_path):
    versions = set()
    for content in sources.values():
        (tmp_path / "a.lbw").write_bytes(content)
        read_artifact(tmp_path / "a.lbw")
        versions.add(b'format_version\\": 1,' in content or b'format_version\\":1,' in content)
    assert versions == {True, False} and len(sources) == 8


def test_every_change_does_something_and_is_the_same_again(artifacts, sources):
    """Or finds nothing to change, which raises before anything was changed."""
    mutants = sys.modules["artifact_mutants"]
    content = sources["two-stage-0"]
    untouched = mutants.Parts.of(content).joined()
    for change in mutants.CHANGES:
        results = []
        for _ in range(2):
            rng, changed = random.Random(5), 0
            for _ in range(20):
                parts = mutants.Parts.of(content)
                try:
                    change(parts, rng)
                except mutants._NOTHING_THERE:
                    continue
                changed += parts.joined() != untouched
            results.append((changed, rng.random()))
        assert results[0] == results[1] and results[0][0] > 0, change.__name__


def test_changed_artifacts_are_refused_or_equal_in_every_engine(artifacts, sources, tmp_path):
    counts = artifacts.try_batch(1, COUNT, list(sources.values()), tmp_path / "a.lbw")
    assert counts["mutants"] == COUNT == counts["read"] + counts["refused when read"]
    assert counts["read"] > COUNT / 4 and counts["refused when read"] > COUNT / 4
    assert counts["equal to the reference"] > COUNT / 5 and counts["with detections"]
    assert counts["runs on portable"] == counts["read"]


def test_what_differs_takes_too_long_or_too_much_is_a_fault(
    artifacts, sources, tmp_path, monkeypatch
):
    def try_some():
        artifacts.try_batch(1, COUNT, list(sources.values()), tmp_path / "a.lbw")

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "SLOWEST", 0.0)
        with pytest.raises(artifacts.Fault, match="took 0 s"):
            try_some()
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "ALLOWANCE", -1)
        with pytest.raises(artifacts.Fault, match="reading took 0 MiB"):
            try_some()
    detect = NativeEngine.detect

    def wrong(engine, image):
        boxes, scores, labels = detect(engine, image)
        return boxes, scores, labels + (engine.isa == "portable")

    monkeypatch.setattr(NativeEngine, "detect", wrong)
    with pytest.raises(artifacts.Fault, match="differs from portable"):
        try_some()


def test_a_process_for_each_seed_and_a_record(artifacts, seeds, tmp_path, capsys):
    (tmp_path / "seeds").mkdir()
    golden = seeds.GOLDEN / "plain2.lbw"
    (tmp_path / "seeds" / "a.lbw").write_bytes(golden.read_bytes())
    run = ["--out", str(tmp_path), "--count", "3", "--json", str(tmp_path / "fuzz.json")]
    assert artifacts.main([*run, "--seeds", "0:2"]) == 0
    assert "mutants: 6" in capsys.readouterr().out
    told = json.loads((tmp_path / "fuzz.json").read_text())["plain"]
    assert (told["mutants"], told["seeds"], told["faults"]) == (6, "0:2", 0)
    assert artifacts._ranges([0, 1, 2, 7, 8, 11]) == "0:3 7:9 11:12"
    (tmp_path / "seeds" / "a.lbw").write_bytes(b"no artifact at all")
    assert artifacts.main([*run, "--seeds", "2:3"]) == 1
    printed = capsys.readouterr().out
    assert "found-2.lbw: exit code 1: " in printed and "faults: 1" in printed
    assert (tmp_path / "found-2.txt").is_file()


def test_the_page_says_what_was_counted():
    page = (ROOT / "docs" / "robustness.md").read_text()
    told = json.loads((ROOT / "docs" / "results" / "fuzz.json").read_text())
    for kind in ("plain", "sanitized"):
        counts = told[kind]
        assert (
            counts["faults"] == 0
            and counts["read"] + counts["refused_when_read"] == counts["mutants"]
        )
        for number in ("mutants", "read", "equal_to_the_reference"):
            assert f"{counts[number]:,}" in page, (kind, number)


def test_messages_are_sentences(artifacts):
    with pytest.raises(artifacts.Fault, match="a message of 0 letters"):
        artifacts._check_sentence(ArtifactError(""))
