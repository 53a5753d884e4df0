"""Artifacts beside MMDetection's models: same images, same table, same report."""

import json

import numpy as np
import pytest

from lbwdet.cli import main
from lbwdet.comparison.compare import CompareSettings, compare
from lbwdet.comparison.specs import ArtifactSpec, ModelSpec
from lbwdet.errors import ConfigError
from lbwdet.measuring.artifact_candidate import ArtifactCandidate


@pytest.fixture(scope="module")
def out(tiny, artifact, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    models = [
        ModelSpec("float", tiny.float_config, tiny.checkpoint),
        ArtifactSpec("deployed", str(artifact)),
        ArtifactSpec("numpy", str(artifact), "reference"),
    ]
    compare(models, out, CompareSettings(threads=1, latency_rounds=1))
    return out


def test_engines_stand_beside_torch_in_the_table(out, artifact):
    models = {
        model["name"]: model for model in json.loads((out / "compare.json").read_text())["models"]
    }
    assert [model["engine"] for model in models.values()] == ["torch", "native", "reference"]
    assert models["deployed"]["bit_width"] == 6
    assert models["deployed"]["weight_bytes"] == artifact.stat().st_size
    assert models["deployed"]["per_class"] == models["numpy"]["per_class"]


def test_the_report_lists_the_stored_layers(out, artifact):
    page = (out / "report" / "index.html").read_text()
    facts = ArtifactCandidate("a", artifact, "reference").layers()
    assert len(facts) > 20
    for layer in facts:
        assert f'title="{layer.name}"' in page
        assert f"<td>{layer.bytes}</td>" in page


def test_engines_find_the_same(artifact):
    image = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    native, reference = (
        ArtifactCandidate("a", artifact, engine, threads=1) for engine in ("native", "reference")
    )
    found, expected = native.detect(image), reference.detect(image)
    assert len(found.scores)
    for key in ("boxes", "scores", "labels"):
        assert np.array_equal(getattr(found, key), getattr(expected, key))
    assert native.digest != reference.digest  # the engine may decide


def test_artifacts_alone_need_a_test_set(artifact, tiny, tmp_path, capsys):
    with pytest.raises(ConfigError, match="--test-set CONFIG"):
        compare([ArtifactSpec("a", str(artifact), "reference")], tmp_path)
    arguments = ["compare", f"a={artifact}", "--test-set", tiny.float_config, "--no-latency"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert "| native |" in capsys.readouterr().out


def test_unknown_engine(artifact, tmp_path, capsys):
    assert main(["compare", f"a={artifact}@warp", "--out", str(tmp_path)]) == 2
    assert "warp" in capsys.readouterr().err
