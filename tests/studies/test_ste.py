import json
import re

import pytest

from lbwdet.cli import main
from lbwdet.errors import ConfigError
from lbwdet.studies import ste
from lbwdet.studies.two_layer import ESTIMATORS


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("ste")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ste, "STEPS", 300)
        content = ste.run_study(out, samples=4000)
    return out, content


def test_what_is_written(study):
    out, content = study
    assert json.loads((out / "ste.json").read_text()) == content
    for name in ("ste_correlation.png", "ste_descent.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_formulas_and_samples_agree(study):
    _, content = study
    for point in content["sweep"]:
        for entry in point["estimators"]:
            assert entry["correlation"] > 0 and 0 < entry["cosine"] <= 1
            assert abs(entry["measured"] - entry["correlation"]) < 5 * entry["error"]
            assert entry["largest_z"] < 5


def test_the_identity_is_repelled_from_the_spurious_minimum_alone(study):
    _, content = study
    runs = {(run["start"], run["estimator"]): run for run in content["descent"]["runs"]}
    for estimator in ESTIMATORS:
        assert runs["good", estimator]["final_loss"] < 0.02
    for estimator in ("relu", "clipped_relu"):
        assert runs["spurious", estimator]["final_loss"] > 0.35
        assert runs["spurious", estimator]["final_angle"] > 3
    assert runs["spurious", "identity"]["final_angle"] < 1
    norms = {
        (minimum["name"], e["estimator"]): e["norm"]
        for minimum in content["minima"]
        for e in minimum["estimators"]
    }
    assert norms.pop(("spurious", "identity")) == pytest.approx(0.3830, abs=1e-4)
    assert max(norms.values()) < 1e-12


def test_tables(study):
    _, content = study
    text = ste.markdown(content)
    assert len(re.findall(r"^\| (?:identity|relu|clipped_relu) ", text, re.M)) == 3
    assert len(re.findall(r"^\| (?:good|spurious) +\| ", text, re.M)) == 6
    assert "4,000 samples" in text


def test_the_same_seed_gives_the_same_numbers(study, tmp_path, monkeypatch):
    _, content = study
    monkeypatch.setattr(ste, "STEPS", 300)
    assert ste.run_study(tmp_path, samples=4000) == content
    assert ste.run_study(tmp_path, samples=4000, seed=1)["sweep"] != content["sweep"]


def test_too_few_samples(tmp_path, capsys):
    with pytest.raises(ConfigError, match="samples=10: give 1000 or more"):
        ste.run_study(tmp_path, samples=10)
    assert main(["study", "ste", "--samples", "10", "--out-dir", str(tmp_path)]) == 2
    assert "give 1000 or more" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
