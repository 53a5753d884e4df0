"""`lbwdet export` from files to a file."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from lbwdet.cli import main
from lbwdet.configs import load_config
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.deploy.runtime.native import NativeError
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.errors import ConfigError
from lbwdet.export import Exported, ExportSettings, _names, deployability, export
from lbwdet.measuring.agreement import Agreement
from lbwdet.testing import TINY_CLASSES, tiny_config, write_tiny_voc
from lbwdet.training.build import build_model

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(64, 64), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    root = write_tiny_voc(folder / "data", num_trainval=3, num_test=1)
    config = tiny_config(root, "unused", quant=dict(weight=dict(bit_width=4)))
    for split in ("train", "test"):
        config[f"{split}_dataloader"].dataset.pipeline = PIPELINE
    config.pop("experiment_name")
    config.dump(folder / "tiny.py")
    torch.manual_seed(0)
    torch.save(dict(state_dict=build_model(config).state_dict()), folder / "random.pth")
    return SimpleNamespace(
        config=str(folder / "tiny.py"),
        checkpoint=str(folder / "random.pth"),
        images=root / "VOC2007" / "JPEGImages",
        folder=folder,
    )


class TestDeployability:
    def test_what_can_be_exported(self, files):
        assert deployability(files.config) == "Can be deployed, once it is trained: lbwdet export"

    def test_what_cannot_is_told_in_one_sentence(self, files, tmp_path):
        for changes, why in (
            ({"model.rpn_head.anchor_generator.strides": [(4, 8)] * 5}, "both sides have to be"),
            ({"test_dataloader.dataset.pipeline": []}, "the pipeline is empty"),
        ):
            config = load_config(files.config, changes)
            config.dump(tmp_path / "changed.py")
            said = deployability(tmp_path / "changed.py")
            assert said.startswith("Trains, but cannot be deployed yet: ") and why in said
            assert "\n" not in said

    def test_nothing_is_raised(self, files, monkeypatch):
        assert "cannot be deployed yet: " in deployability("missing.py")
        monkeypatch.setattr("lbwdet.export.lower", lambda *_: 1 / 0)
        assert "was not found out: ZeroDivisionError" in deployability(files.config)


def test_names_of_things_alone():
    model = SimpleNamespace(dataset_meta=dict(classes=("cat", "dog", "sky")))
    assert _names(model) == ("cat", "dog", "sky")
    model.num_things_classes = 2  # a panoptic segmentor, which finds no sky
    assert _names(model) == ("cat", "dog")


def test_from_files_to_the_same_file_each_time(files, capsys):
    first, second = files.folder / "first.lbw", files.folder / "second.lbw"
    exported = export(files.config, files.checkpoint, first, ExportSettings("train", num=2))
    arguments = ["export", files.config, files.checkpoint, "--calibrate", "train", "--num", "2"]
    assert main([*arguments, "--out", str(second)]) == 0
    assert f"{second}: 35 layers, {exported.file_bytes:,} bytes" in capsys.readouterr().out
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) == exported.file_bytes

    artifact = read_artifact(first)
    assert artifact.classes == TINY_CLASSES and artifact.info == exported.info
    calibration = artifact.info["calibration"]
    assert calibration["images"] == ["000000.jpg", "000002.jpg"]
    assert (calibration["method"], calibration["source"]) == ("mse", "train")
    assert artifact.info["config"]["name"] == "tiny.py"
    assert artifact.info["checkpoint"]["name"] == "random.pth"
    model = torch.load(files.checkpoint, weights_only=True)["state_dict"]
    assert set(artifact.weights) < {key.removesuffix(".weight") for key in model}


def exported(agreement, float_activations=True):
    quantization = dict(uniform_layers=[], weights_below_window={})
    info = dict(quantization=quantization, calibration=dict(left_out=[]))
    return Exported(1000, 3, info, agreement, float_activations).summary().splitlines()[1:]


def test_what_eight_bits_cost_is_told():
    assert exported(None) == exported(Agreement(0, 0)) == []
    (fine,) = exported(Agreement(100, 97))
    assert fine == "of the boxes of model and artifact, 97% are common to both"
    (worse,) = exported(Agreement(100, 80))
    assert "80%" in worse and "8-bit activations cost" in worse and "--activations channel" in worse
    (trained,) = exported(Agreement(100, 80), float_activations=False)
    assert "8-bit activations cost" in trained and "more images" in trained


@pytest.mark.skipif(library_path() is None, reason="the native engine is not built")
def test_the_artifact_is_tried_on_the_images(files, tmp_path, monkeypatch):
    wanted = []

    def note(deployed, origin, num_classes):
        wanted.append((len(deployed), len(origin), num_classes))
        assert len(deployed[0].scores) and len(origin[0].scores)
        return Agreement(5, 4)

    monkeypatch.setattr("lbwdet.export.agreement", note)
    settings = ExportSettings("train", num=2)
    done = export(files.config, files.checkpoint, tmp_path / "a.lbw", settings)
    assert wanted == [(2, 2, len(TINY_CLASSES))] and done.agreement == Agreement(5, 4)

    def refuse(artifact):
        raise NativeError("not so much memory")

    monkeypatch.setattr("lbwdet.export.Detector", refuse)
    done = export(files.config, files.checkpoint, tmp_path / "b.lbw", settings)
    assert done.agreement is None and read_artifact(tmp_path / "b.lbw").info == done.info


def test_odd_images_are_left_out_and_named(files, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(files.images / "000000.jpg", folder / "a.jpg")
    cv2.imwrite(str(folder / "thin.png"), np.zeros((1, 20_000, 3), np.uint8))
    (folder / "text.jpg").write_text("no image")
    out = tmp_path / "a.lbw"
    command = ["export", files.config, files.checkpoint, "--calibrate", str(folder)]
    assert main([*command, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "left out: text.jpg: not an image" in printed and "left out: thin.png: shape" in printed
    calibration = read_artifact(out).info["calibration"]
    assert calibration["images"] == ["a.jpg"] and len(calibration["left_out"]) == 2
    (folder / "a.jpg").unlink()
    assert main([*command, "--out", str(tmp_path / "b.lbw")]) == 2
    assert "no image to calibrate on can be used: text.jpg: " in capsys.readouterr().err


@pytest.mark.parametrize("color", ["grayscale", "unchanged", "color_ignore_orientation"])
def test_images_that_a_runtime_would_load_otherwise_are_refused(files, tmp_path, capsys, color):
    steps = [dict(type="LoadImageFromFile", color_type=color), *PIPELINE[1:]]
    options = {"test_dataloader.dataset.pipeline": steps}
    with pytest.raises(ConfigError, match=f"loaded with color_type='{color}' cannot be had"):
        settings = ExportSettings("train", cfg_options=options)
        export(files.config, files.checkpoint, tmp_path / "a.lbw", settings)
    assert not list(tmp_path.iterdir())


def test_rfcn(files, tmp_path, capsys):
    config = str(Path(__file__).parents[1] / "configs" / "lbw_rfcn_toy_4bit.py")
    torch.manual_seed(0)
    model = build_model(load_config(config))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "random.pth")
    out = tmp_path / "model.lbw"
    arguments = ["export", config, str(tmp_path / "random.pth"), "--calibrate", str(files.images)]
    assert main([*arguments, "--num", "1", "--out", str(out)]) == 0
    assert f"{out}: 26 layers" in capsys.readouterr().out
    artifact = read_artifact(out)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    names = ["proposals", "roi_scores", "roi_deltas"]
    boxes, scores, deltas = ReferenceEngine(artifact).values(image, names).values()
    assert scores.shape == (len(boxes), 1, 1, 7) and deltas.shape == (len(boxes), 1, 1, 4)

    pool = "model.roi_head.bbox_roi_extractor.pooling=pool"
    arguments += ["--cfg-options", pool, "--out", str(tmp_path / "other.lbw")]
    assert main(arguments) == 2
    assert "pooling='pool' cannot be lowered" in capsys.readouterr().err
    assert not (tmp_path / "other.lbw").exists()


@pytest.mark.parametrize(
    ("calibrate", "options", "message"),
    [
        ("nowhere", [], "nowhere: no such image or folder"),
        ("EMPTY", [], "no image in this folder"),
        ("BROKEN", [], "broken.jpg"),
        (
            "train",
            ["--cfg-options", "model.roi_head.bbox_roi_extractor.roi_layer.pool_mode=max"],
            "pool_mode='max'",
        ),
        ("train", ["--cfg-options", "model.backbone.base_channels=4"], "does not fit the model"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(
    files, tmp_path, capsys, calibrate, options, message
):
    if calibrate in ("EMPTY", "BROKEN"):
        folder = tmp_path / calibrate.lower()
        folder.mkdir()
        if calibrate == "BROKEN":
            (folder / "broken.jpg").write_bytes(b"no image")
        calibrate = str(folder)
    out = tmp_path / "out" / "model.lbw"
    arguments = ["export", files.config, files.checkpoint, "--out", str(out)]
    assert main([*arguments, "--calibrate", calibrate, *options]) == 2
    printed = capsys.readouterr().err
    assert message in printed and "Traceback" not in printed and not out.parent.exists()


def test_nothing_that_is_read_is_written_over(files, tmp_path, capsys):
    checkpoint = shutil.copy(files.checkpoint, tmp_path / "trained.pth")
    before = checkpoint.read_bytes()
    arguments = ["export", files.config, str(checkpoint), "--calibrate", "train", "--out"]
    for out, message in ((checkpoint, "this is the given"), (tmp_path, "is a folder")):
        assert main([*arguments, str(out)]) == 2
        assert message in capsys.readouterr().err
    assert checkpoint.read_bytes() == before
    artifact = tmp_path / "model.lbw"
    artifact.write_bytes(b"artifact")
    assert main(["export-onnx", str(artifact), "--out", str(artifact)]) == 2
    assert "this is the given" in capsys.readouterr().err and artifact.read_bytes() == b"artifact"


def test_a_config_without_a_test_set(files, tmp_path, capsys):
    config = load_config(files.config)
    config.test_dataloader = None
    config.dump(tmp_path / "none.py")
    arguments = ["export", str(tmp_path / "none.py"), files.checkpoint, "--calibrate"]
    assert main([*arguments, str(files.images), "--out", str(tmp_path / "a.lbw")]) == 2
    printed = capsys.readouterr().err
    assert "has no test_dataloader, whose pipeline says how images are read" in printed
    assert "Traceback" not in printed
