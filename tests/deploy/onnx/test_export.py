import json
import sys

import numpy as np
import onnx
import pytest
from lbwdet.deploy.float_program import FloatProgram
from lbwdet.deploy.runtime.reference import ReferenceEngine

from lbwdet.cli import main
from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.onnx.export import dense_outputs, export_onnx
from lbwdet.deploy.testing import random_image, tiny_artifact, tiny_rfcn_artifact
from lbwdet.errors import ConfigError

SETTINGS = [
    dict(),
    dict(bit_width=6, code="paper", granularity="channel", class_agnostic=True),
    dict(activation_bits=4),
]
IMAGE = random_image(0, 75, 100)


def test_what_the_dense_part_gives():
    outputs = dense_outputs(tiny_artifact().program)
    heads = [f"p{level}.{head}" for head in ("scores", "deltas") for level in range(2, 7)]
    assert outputs == [*heads, "p2", "p3", "p4", "p5"]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_dense_part_follows_the_reference(tmp_path, run, settings):
    artifact = tiny_artifact(**settings)
    names = dense_outputs(artifact.program)
    expected = ReferenceEngine(artifact).values(IMAGE, ["image", *names])
    quantizations = artifact.program.quantizations
    q = quantizations["image"]
    image = (expected["image"].astype(np.float32) - q.zero_point) * np.float32(q.scale)
    model = export_onnx(artifact, tmp_path / "dense.onnx", part="dense")
    found = run(model, {"image": image.transpose(0, 3, 1, 2)})
    for name, value in zip(names, found, strict=True):
        value, wanted = value.transpose(0, 2, 3, 1), expected[name]
        if name in quantizations:
            q = quantizations[name]
            wanted = (wanted.astype(np.float32) - q.zero_point) * np.float32(q.scale)
        # A step now and then in each of 20 layers, in a network that nobody trained to damp it;
        # one of 15 steps is a large one
        tolerance = 0.25 if "activation_bits" in settings else 0.03
        assert np.abs(value - wanted).mean() < tolerance * wanted.std()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_with_float_activations_it_is_the_float_program(tmp_path, run, settings):
    artifact = tiny_artifact(**settings)
    program = FloatProgram(artifact.program, artifact.weights)
    image = random_image(0, 96, 128)  # needs no resizing, in which engines differ a little
    names = dense_outputs(artifact.program)
    expected = program.run(image)
    model = export_onnx(artifact, tmp_path / "dense.onnx", "dense", float_activations=True)
    found = run(model, {"image": expected["image"].numpy()})
    for name, value in zip(names, found, strict=True):
        wanted = expected[name].numpy()
        # six bits of the paper's code have levels that integers drop
        tolerance = 1e-4 if settings == SETTINGS[0] else 0.05
        assert np.abs(value - wanted).mean() < tolerance * wanted.std()
    if settings == SETTINGS[0]:
        whole = export_onnx(artifact, tmp_path / "detector.onnx", float_activations=True)
        assert agreement(run(whole, {"image": image}), program.detect(image)) > 0.95


def test_the_dense_part_of_rfcn():
    outputs = dense_outputs(tiny_rfcn_artifact().program)
    assert outputs == ["stage3.3.scores", "stage3.3.deltas", "scores.map", "deltas.map"]


@pytest.mark.parametrize("make", [tiny_artifact, tiny_rfcn_artifact])
def test_detections_follow_the_reference(tmp_path, run, make):
    artifact = make()
    model = export_onnx(artifact, tmp_path / "model.onnx")
    shares = []
    for shape in ((75, 100), (140, 90)):  # one model, images of any size
        image = random_image(1, *shape)
        expected = ReferenceEngine(artifact).detect(image)
        shares.append(agreement(run(model, {"image": image}), expected))
    # random predictions: suppression turns a small difference into another box
    assert np.mean(shares) > 0.7


def agreement(found, expected):
    """Share of the expected boxes that were found: class, place, and about the score."""
    boxes, scores, labels = found
    hits = 0
    for box, score, label in zip(*expected, strict=True):
        same = (labels == label) & (np.abs(scores - score) < 0.1)
        hits += bool((np.abs(boxes[same] - box).max(1, initial=0) < 4).any())
    return hits / max(len(expected[1]), len(scores))


def test_what_the_model_says_of_itself(tmp_path):
    artifact = tiny_artifact()
    export_onnx(artifact, tmp_path / "model.onnx")
    model = onnx.load(str(tmp_path / "model.onnx"))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} == {""}
    entries = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert entries["classes"] == list(artifact.classes)
    assert entries["size"] == [128, 96] and entries["size_divisor"] == 32
    assert (entries["part"], entries["activations"]) == ("detector", "uint8")
    weights = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4}
    assert onnx.TensorProto.INT8 in weights


def test_no_such_part(tmp_path):
    with pytest.raises(ConfigError, match="part='neck' is not known; choose from detector, dense"):
        export_onnx(tiny_artifact(), tmp_path / "model.onnx", part="neck")
    assert list(tmp_path.iterdir()) == []


class TestCommand:
    def test_it_writes_a_model(self, tmp_path, capsys):
        write_artifact(tmp_path / "model.lbw", tiny_artifact())
        out = tmp_path / "dense.onnx"
        assert (
            main(["export-onnx", str(tmp_path / "model.lbw"), "--out", str(out), "--part=dense"])
            == 0
        )
        printed = capsys.readouterr().out
        assert f"{out}: " in printed and "dense" in printed
        assert onnx.load(str(out)).graph.input[0].name == "image"

    def test_a_file_that_is_no_artifact(self, tmp_path, capsys):
        path = tmp_path / "model.lbw"
        path.write_bytes(b"nothing")
        assert main(["export-onnx", str(path), "--out", str(tmp_path / "out.onnx")]) == 2
        assert str(path) in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == [path]

    def test_without_onnx(self, tmp_path, capsys, monkeypatch):
        write_artifact(tmp_path / "model.lbw", tiny_artifact())
        for name in [name for name in sys.modules if name.startswith("lbwdet.deploy.onnx")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "onnx", None)
        arguments = [str(tmp_path / "model.lbw"), "--out", str(tmp_path / "out.onnx")]
        assert main(["export-onnx", *arguments]) == 2
        assert "pip install 'lbwdet[engines]'" in capsys.readouterr().err

    def test_a_place_that_cannot_be_written(self, tmp_path, capsys):
        write_artifact(tmp_path / "model.lbw", tiny_artifact())
        out = tmp_path / "model.lbw" / "out.onnx"
        assert main(["export-onnx", str(tmp_path / "model.lbw"), "--out", str(out)]) == 2
        assert f"{out} cannot be written" in capsys.readouterr().err
