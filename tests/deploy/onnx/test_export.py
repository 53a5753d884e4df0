import json
import sys
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import onnx
import pytest

from lbwdet.cli import main
from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.onnx.export import dense_outputs, export_onnx
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.context import LayerNumbers
from lbwdet.deploy.runtime.declaration import Kind, Writes
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.lookup import Lookup
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.operations.upsample import Upsample
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine, run_program
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.deploy.testing import (
    random_image,
    random_weight,
    tiny_artifact,
    tiny_rfcn_artifact,
)
from lbwdet.errors import ConfigError

SETTINGS = [
    dict(),
    dict(bit_width=6, code="paper", granularity="channel", class_agnostic=True),
    dict(activation_bits=4),
]
IMAGE = random_image(0, 75, 100)


def test_what_the_dense_part_gives():
    program = tiny_artifact().program
    operations, outputs = program.dense, dense_outputs(program)
    heads = [f"p{level}.{head}" for head in ("scores", "deltas") for level in range(2, 7)]
    assert outputs == (*heads, "p2", "p3", "p4", "p5")
    assert operations[0].written == "image" and operations[-1].written == "p6.deltas"
    assert program.operations[: len(operations)] == operations


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


@pytest.mark.parametrize(
    ("settings", "numbers"),
    [(SETTINGS[0], LayerNumbers.integer), *((each, LayerNumbers.real) for each in SETTINGS)],
    ids=["integers", "0", "1", "2"],
)
def test_with_float_activations_it_is_the_program_in_reals(tmp_path, run, settings, numbers):
    artifact = tiny_artifact(**settings)
    layers = {name: numbers(weight) for name, weight in artifact.weights.items()}
    image = random_image(0, 96, 128)  # needs no resizing, in which engines differ a little
    expected, boxes = run_program(replace(artifact.program, quantizations={}), layers, image)
    options = dict(float_activations=True, layers=layers)
    model = export_onnx(artifact, tmp_path / "dense.onnx", "dense", **options)
    found = run(model, {"image": expected["image"].transpose(0, 3, 1, 2)})
    for name, value in zip(dense_outputs(artifact.program), found, strict=True):
        wanted = expected[name].transpose(0, 3, 1, 2)
        assert np.abs(value - wanted).mean() < 1e-4 * wanted.std()
    whole = export_onnx(artifact, tmp_path / "detector.onnx", **options)
    assert agreement(run(whole, {"image": image}), boxes) > 0.95
    network = export_onnx(artifact, tmp_path / "network.onnx", "network", **options)
    inputs = {"image": expected["image"].transpose(0, 3, 1, 2)}
    inputs |= dict(size=np.array([128, 96], np.float32), factor=np.array([2, 3], np.float32))
    found = run(network, inputs)
    assert agreement((found[0] / np.array([2, 3, 2, 3], np.float32), *found[1:]), boxes) > 0.95


def test_every_node_says_what_it_is_there_for(tmp_path):
    artifact = tiny_artifact()
    model = export_onnx(artifact, tmp_path / "model.onnx")
    titles = [operation.title for operation in artifact.program.operations]
    notes = dict.fromkeys(node.doc_string for node in model.graph.node if node.doc_string)
    assert list(notes) == [title for title in titles if title in notes]
    assert {"Conv p2", "Preprocess image"} <= set(notes)


def test_a_program_before_calibration_stays_float(tmp_path):
    calibrated = tiny_artifact()
    artifact = replace(calibrated, program=replace(calibrated.program, quantizations={}))
    layers = {name: LayerNumbers.real(weight) for name, weight in artifact.weights.items()}
    model = export_onnx(artifact, tmp_path / "model.onnx", layers=layers)
    same = export_onnx(calibrated, tmp_path / "model.onnx", float_activations=True, layers=layers)
    assert model == same
    kinds = {tensor.data_type for tensor in model.graph.initializer if tensor.dims}
    assert kinds == {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    assert "DequantizeLinear" not in {node.op_type for node in model.graph.node}


def test_what_is_read_of_the_image_itself_is_no_output(tmp_path, golden_artifact):
    assert "image" in dense_outputs(golden_artifact.program)
    model = export_onnx(golden_artifact, tmp_path / "dense.onnx", part="dense")
    assert [value.name for value in model.graph.output] == ["logits", "deltas"]


def test_the_dense_part_of_rfcn():
    outputs = dense_outputs(tiny_rfcn_artifact().program)
    assert outputs == ("stage3.3.scores", "stage3.3.deltas", "scores.map", "deltas.map")


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


@pytest.fixture(scope="module")
def one_stage():
    """A detector of two levels with a neck, sigmoid scores, a factor per anchor, and distances."""
    random = np.random.default_rng(0)
    shapes = dict(stem=(8, 3, 3, 3), deep=(8, 8, 3, 3), joined=(8, 16, 1, 1))
    shapes |= dict(score=(3, 8, 3, 3), box=(4, 8, 3, 3), centre=(1, 8, 1, 1))
    weights = {name: random_weight(random, shape, code="uniform") for name, shape in shapes.items()}
    weights["box"].bias[:] = 3  # distances are positive
    wide, positive = Quantization(0.046875, 128), Quantization(0.03125)
    two, same = (2, 2), (1, 1)
    operations = [
        Preprocess("image", (128, 96), True, (120.0,) * 3, (58.0,) * 3, True, 32),
        Conv("stem", "image", "stem", (3, 3), two, same),
        Lookup("stem", "stem.silu", "silu"),
        Conv("deep", "stem.silu", "deep", (3, 3), two, same),
        Affine("deep", "deep.norm", (1.25,) * 8, (0.25,) * 8, relu=True),
        Conv("deep", "deep.norm", "again", (3, 3), same, same),
        Add(("again", "deep.norm"), "low", relu=True),
        Upsample("low", "up", like="stem.silu"),
        Concat(("up", "stem.silu"), "cat"),
        Conv("joined", "cat", "high", (1, 1), relu=True),
    ]
    for level in ("high", "low"):
        for head in ("score", "box", "centre"):
            kernel, padding = shapes[head][2:], (shapes[head][2] // 2,) * 2
            operations.append(Conv(head, level, f"{level}.{head}", kernel, same, padding))
    levels = {head: (f"high.{head}", f"low.{head}") for head in ("score", "box", "centre")}
    operations += [
        Candidates(
            scores=levels["score"],
            deltas=levels["box"],
            output="candidates",
            strides=(2, 4),
            base_anchors=(((1.0,) * 4,), ((2.0,) * 4,)),
            coder=DistanceCoder(2.0),
            num_classes=3,
            activation="sigmoid",
            pre_nms=60,
            score_threshold=0.4,
            factors=levels["centre"],
        ),
        Rescale("candidates", "rescaled"),
        Suppress("rescaled", "kept", 0.6, 30, "class"),
        Detections("kept", 3),
    ]
    quantizations = dict.fromkeys(("stem", "deep", "again", "stem.silu", "cat"), wide)
    quantizations |= dict.fromkeys(("deep.norm", "low", "up", "high"), positive)
    quantizations["image"] = Quantization(0.0234375, 100)
    classes = ("a", "b", "c")
    program = Program(tuple(operations), quantizations)
    check_artifact(program, weights, classes)
    return Artifact(program, weights, classes, {})


@pytest.mark.parametrize("float_activations", [False, True])
def test_detections_of_one_stage(tmp_path, run, one_stage, float_activations):
    program = one_stage.program
    outputs = [
        f"{level}.{head}" for head in ("score", "box", "centre") for level in ("high", "low")
    ]
    assert dense_outputs(program) == tuple(outputs)
    layers = {name: LayerNumbers.integer(weight) for name, weight in one_stage.weights.items()}
    if float_activations:
        program = replace(program, quantizations={})
    image = random_image(2, 96, 128)
    _, expected = run_program(program, layers, image)
    assert len(expected[1]) == 30 and len(set(expected[2])) > 1
    model = export_onnx(one_stage, tmp_path / "model.onnx", float_activations=float_activations)
    assert agreement(run(model, {"image": image}), expected) > 0.95


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
    with pytest.raises(
        ConfigError, match="part='neck' is not known; choose from detector, network, dense"
    ):
        export_onnx(tiny_artifact(), tmp_path / "model.onnx", part="neck")
    assert list(tmp_path.iterdir()) == []


def test_an_operation_that_nobody_exports(tmp_path, monkeypatch):
    artifact = tiny_artifact()
    monkeypatch.setattr(Operation, "registry", dict(Operation.registry))

    @dataclass(frozen=True)
    class Sharpen(Operation):
        input: str
        output: Annotated[str, Writes(Kind.UINT8)]

        def infer(self, shapes):
            return shapes.map(self.input)

    unknown = Sharpen("pooled", "sharp")
    operations = (*artifact.program.operations[:-1], unknown, artifact.program.operations[-1])
    changed = replace(artifact, program=replace(artifact.program, operations=operations))
    with pytest.raises(ConfigError, match="Sharpen sharp: ONNX export knows no Sharpen; it knows"):
        export_onnx(changed, tmp_path / "model.onnx")
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
