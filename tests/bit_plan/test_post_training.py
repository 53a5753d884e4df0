import json
import os
import shutil
from types import SimpleNamespace

import pytest
import torch

from lbwdet.bit_plan import post_training
from lbwdet.bit_plan.post_training import post_train_detector
from lbwdet.checkpoints import read_checkpoint
from lbwdet.cli import main
from lbwdet.configs import load_config
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine
from lbwdet.deploy.testing import random_image
from lbwdet.errors import CheckpointError, ConfigError, DataError
from lbwdet.layers import input_quantizers, quantized_layers
from lbwdet.measuring.detectors import build_detector
from lbwdet.testing import tiny_config, write_tiny_voc

FOUR_BIT = dict(bit_width=4, code="dense", granularity="tensor")


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A float config with images, and a checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("float")
    root = write_tiny_voc(folder / "data", num_trainval=3, num_test=2)
    config = tiny_config(root, folder / "run", model="retinanet_r50_fpn")
    config.dump(folder / "retinanet.py")
    torch.manual_seed(0)
    checkpoint = folder / "float.pth"
    torch.save(dict(state_dict=build_detector(config).state_dict()), checkpoint)
    return folder / "retinanet.py", checkpoint


def test_the_command(detector, tmp_path, capsys):
    config, checkpoint = map(str, detector)
    line = ["quantize", config, "--checkpoint", checkpoint, "--post-training", "train"]
    line += ["--bit-width", "4", "--num", "2", "--out", str(tmp_path)]
    assert main(line) == 0
    out = capsys.readouterr()
    assert "| backbone.conv1 |" in out.out and "without training" in out.out
    assert "left" in out.err  # the time
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.py",
        "post_trained.pth",
        "post_training.json",
    ]
    low = load_config(tmp_path / "config.py")
    assert low.load_from == str(tmp_path / "post_trained.pth")
    model = build_detector(low, tmp_path / "post_trained.pth")
    for name, layer in quantized_layers(model).items():
        assert torch.equal(layer.fake_quantized_weight(), layer.weight), name
    report = json.loads((tmp_path / "post_training.json").read_text())
    assert set(report["map_11point"]) == {"float", "nearest", "data-aware"}
    assert {layer["name"] for layer in report["layers"]} == set(quantized_layers(model))
    assert main(line) == 0
    assert "from an earlier run" in capsys.readouterr().out


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_activations_of_the_same_call_are_deployed(detector, tmp_path, granularity, capsys):
    config, checkpoint = detector
    fixed = load_config(config)
    for split in ("train", "test"):
        fixed[f"{split}_dataloader"].dataset.pipeline[2] = dict(
            type="Resize", scale=(96, 64), keep_ratio=True
        )
    fixed.dump(tmp_path / "fixed.py")
    line = ["quantize", str(tmp_path / "fixed.py"), "--checkpoint", str(checkpoint), "--no-map"]
    line += ["--post-training", "train", "--activations", granularity, "--bit-width", "4"]
    assert main([*line, "--num", "2", "--out", str(tmp_path / "low")]) == 0
    told = capsys.readouterr().out
    assert "mAP" not in told
    told = told.split("Deploy it: lbwdet ")[1].split()
    files = [str(tmp_path / "low" / name) for name in ("config.py", "post_trained.pth")]
    path = tmp_path / "low.lbw"
    assert told == ["export", *files, "--out", "MODEL.lbw"]  # no images are named
    assert main([*told[:-1], str(path)]) == 0

    artifact = read_artifact(path)
    model = build_detector(load_config(files[0]), files[1])
    found = artifact.program.quantizations
    trained = artifact.info["quantization"]["trained_activations"]
    for name, quantizer in input_quantizers(model).items():
        assert quantizer.bit_width == 8 and name.removesuffix(".input_quantizer") in trained
    assert any(each.exponents for each in found.values()) == (granularity == "channel")
    image = random_image(0, 64, 96)
    with NativeEngine(artifact) as engine:
        boxes = [detects.detect(image) for detects in (engine, ReferenceEngine(artifact))]
    for one, other in zip(*boxes, strict=True):
        assert one.tobytes() == other.tobytes()


def test_activations_are_of_post_training(detector, tmp_path, capsys):
    line = ["quantize", str(detector[0]), "--bit-width", "4", "--activations", "channel"]
    assert main([*line, "--out", str(tmp_path / "low.py")]) == 2
    assert "--activations belongs to --post-training" in capsys.readouterr().err


def test_an_interrupted_run_goes_on(detector, tmp_path, monkeypatch):
    config, checkpoint = detector
    options = dict(num=2, measure=False)
    whole = post_train_detector(config, checkpoint, "train", tmp_path / "a", FOUR_BIT, **options)

    monkeypatch.setattr("lbwdet.posttraining.state._EVERY", 0.0)
    with monkeypatch.context() as patch:
        step = post_training.Progress.step

        def stop_in_the_middle(self):
            step(self)
            if self.done == 20:
                raise KeyboardInterrupt

        patch.setattr(post_training.Progress, "step", stop_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            post_train_detector(config, checkpoint, "train", tmp_path / "b", FOUR_BIT, **options)
    assert not (tmp_path / "b" / "post_trained.pth").exists()
    rest = post_train_detector(config, checkpoint, "train", tmp_path / "b", FOUR_BIT, **options)
    assert rest.layers == whole.layers
    states = [read_checkpoint(result.checkpoint)[0] for result in (whole, rest)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert not (tmp_path / "b" / "state.pth").exists()


def test_continued_from_low_bit_weights_on_purpose(detector, tmp_path):
    config, checkpoint = detector
    options = dict(num=1, measure=False)
    six = dict(bit_width=6, code="paper", granularity="tensor")
    first = post_train_detector(config, checkpoint, "train", tmp_path / "6", six, **options)
    second = post_train_detector(
        config, first.checkpoint, "train", tmp_path / "4", FOUR_BIT, from_low_bit=True, **options
    )
    six_state, _ = read_checkpoint(first.checkpoint)
    start, _ = read_checkpoint(tmp_path / "4" / "start.pth")
    assert all(torch.equal(value, six_state[key]) for key, value in start.items())
    state, meta = read_checkpoint(second.checkpoint)
    assert meta["lbwdet"]["images"] == dict(source="train", num=1)
    assert len(state["backbone.conv1.weight"].unique()) <= 15


@pytest.fixture(scope="module")
def finished(detector, tmp_path_factory):
    """What one run wrote, to be copied."""
    out = tmp_path_factory.mktemp("finished")
    post_train_detector(*detector, "train", out, FOUR_BIT, num=1, measure=False)
    return out


def test_each_folder_is_trained_in_one_of_its_own(detector, finished, tmp_path):
    folders = [shutil.copytree(finished, tmp_path / name) for name in ("l4", "l6")]
    found = []
    for folder in folders:
        post_train_detector(*detector, "train", folder, FOUR_BIT, num=1, measure=False)
        found.append(load_config(folder / "config.py").work_dir)
    assert found == ["work_dirs/l4", "work_dirs/l6"]


def test_other_names_of_classes_are_another_detector(detector, finished, tmp_path):
    config, checkpoint = detector
    out = shutil.copytree(finished, tmp_path / "out")
    cfg = load_config(config)
    old = cfg.test_dataloader.dataset.metainfo.classes
    for split in ("train", "test"):
        names = tuple(name.upper() for name in old)
        cfg[f"{split}_dataloader"].dataset.metainfo = dict(classes=names)
    cfg.dump(tmp_path / "renamed.py")
    found = post_train_detector(
        tmp_path / "renamed.py", checkpoint, str(image_of(detector)), out, FOUR_BIT, measure=False
    )
    assert not found.reused
    _, meta = read_checkpoint(found.checkpoint)
    assert tuple(meta["dataset_meta"]["CLASSES"]) == names


def test_an_interrupted_run_leaves_no_other_weights(detector, finished, tmp_path, monkeypatch):
    out = shutil.copytree(finished, tmp_path / "out")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(post_training, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        post_train_detector(*detector, "train", out, FOUR_BIT | dict(bit_width=6), measure=False)
    assert not (out / "post_trained.pth").exists()
    assert load_config(out / "config.py").load_from == str(out / "post_trained.pth")


def image_of(detector):
    return next(detector[0].parent.rglob("*.jpg"))


def test_images_that_were_moved(detector, tmp_path, capsys):
    config, checkpoint = detector
    first, second = tmp_path / "first.jpg", tmp_path / "second.jpg"
    shutil.copy(image_of(detector), first)
    out, options = tmp_path / "out", dict(measure=False)
    assert not post_train_detector(config, checkpoint, str(first), out, FOUR_BIT, **options).reused
    first.rename(second)
    files = [str(out / "config.py"), str(out / "post_trained.pth")]
    line = ["export", *files, "--out", str(tmp_path / "m.lbw")]
    assert main(line) == 2
    message = capsys.readouterr().err
    assert f"{first}, which are not there any more" in message and "--calibrate FOLDER" in message
    assert post_train_detector(config, checkpoint, str(second), out, FOUR_BIT, **options).reused
    _, meta = read_checkpoint(files[1])
    assert meta["lbwdet"]["images"]["source"] == str(second) and meta["lbwdet"]["quant"]


def test_a_folder_is_no_python_file(detector, tmp_path, capsys):
    config, checkpoint = map(str, detector)
    line = ["quantize", config, "--checkpoint", checkpoint, "--post-training", "train"]
    assert main([*line, "--bit-width", "4", "--out", str(tmp_path / "low.py")]) == 2
    assert "name a folder" in capsys.readouterr().err and not (tmp_path / "low.py").exists()


class TestBadInput:
    def run(self, detector, tmp_path, source="train", **options):
        config, checkpoint = detector
        post_train_detector(config, checkpoint, source, tmp_path / "out", FOUR_BIT, **options)

    def test_no_images(self, detector, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="empty"):
            self.run(detector, tmp_path, str(tmp_path / "empty"))
        assert not (tmp_path / "out").exists()

    def test_a_file_that_is_no_image(self, detector, tmp_path):
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "a.jpg").write_bytes(b"no image")
        with pytest.raises(DataError, match=r"a\.jpg"):
            self.run(detector, tmp_path, str(tmp_path / "images"))
        assert not (tmp_path / "out" / "post_trained.pth").exists()

    def test_odd_files_are_left_out_and_named(self, detector, tmp_path):
        config, checkpoint = detector
        folder = tmp_path / "images"
        shutil.copytree(config.parent / "data" / "VOC2007" / "JPEGImages", folder)
        count = len(list(folder.iterdir()))
        os.mkfifo(folder / "b.jpg")  # to be read, it would wait for ever
        (folder / "c.png").write_bytes(b"no image")
        options = dict(measure=False, num=100)
        found = post_train_detector(
            config, checkpoint, str(folder), tmp_path / "out", FOUR_BIT, **options
        )
        assert found.images == count and len(found.left_out) == 2
        assert "left out: b.jpg: not a regular file" in found.text()

    @pytest.mark.parametrize(
        "damage", ["[]", '{"key": 1}', '{"key": KEY}', '{"key": KEY, "layers": [1]}']
    )
    def test_a_report_that_is_not_whole_does_not_count(self, finished, tmp_path, damage):
        told, written = finished / "post_training.json", finished / "post_trained.pth"
        key = json.loads(told.read_text())["key"]
        assert post_training._finished(told, written, key) is not None
        assert post_training._finished(told, written, key + "0") is None
        (odd := tmp_path / "odd.json").write_text(damage.replace("KEY", json.dumps(key)))
        assert post_training._finished(odd, written, key) is None

    def test_what_an_earlier_run_left_counts_if_it_is_whole(self, detector, finished, tmp_path):
        shutil.copytree(finished, tmp_path / "out")
        report = tmp_path / "out" / "post_training.json"
        before = report.read_text()
        (tmp_path / "out" / "post_trained.pth").write_bytes(b"PK half")
        config, checkpoint = detector
        again = post_train_detector(
            config, checkpoint, "train", tmp_path / "out", FOUR_BIT, num=1, measure=False
        )
        assert not again.reused and report.read_text() == before
        read_checkpoint(again.checkpoint)

    def test_low_bit_weights_already(self, detector, finished, tmp_path):
        config, _ = detector
        again = finished / "post_trained.pth"
        with pytest.raises(CheckpointError, match=r"low-bit weights already.*--from-low-bit"):
            post_train_detector(config, again, "train", tmp_path / "two", FOUR_BIT)
        assert not (tmp_path / "two").exists()

    def test_a_quantized_config(self, detector, finished, tmp_path):
        _, checkpoint = detector
        low = finished / "config.py"
        with pytest.raises(ConfigError, match="is quantized already"):
            post_train_detector(low, checkpoint, "train", tmp_path / "two", FOUR_BIT)

    def test_what_is_missing_on_the_command_line(self, detector, capsys):
        config, checkpoint = map(str, detector)
        assert main(["quantize", config, "--bit-width", "4", "--post-training", "train"]) == 2
        assert "--post-training needs --checkpoint" in capsys.readouterr().err
        assert main(["quantize", config, "--bit-width", "4", "--checkpoint", checkpoint]) == 2
        assert "--out NEW.py is missing" in capsys.readouterr().err


def test_what_tells_of_other_weights_is_gone_before_these_are_written(
    detector, tmp_path, monkeypatch
):
    """Or else an interrupted run would hand out its weights for those of the run before."""
    config, checkpoint = detector
    (tmp_path / "post_training.json").write_text(json.dumps(dict(key="another", layers=[])))

    def interrupted(*_):
        assert not (tmp_path / "post_training.json").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(post_training, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        post_train_detector(config, checkpoint, "train", tmp_path, FOUR_BIT, num=1, measure=False)


@pytest.fixture
def measured(monkeypatch):
    """How many images mAP was measured on, each time; and by what the next time is interrupted."""
    calls = SimpleNamespace(images=[], error=None)

    def measure(self, model, shown_as):
        if calls.error is not None:
            raise calls.error
        calls.images.append(self.num_images)
        return 0.1 * self.num_images

    monkeypatch.setattr(post_training.ModelMap, "__call__", measure)
    return calls


def test_map_is_of_the_images_that_were_asked_for(detector, finished, tmp_path, measured):
    out = shutil.copytree(finished, tmp_path / "out")
    first = post_train_detector(*detector, "train", out, FOUR_BIT, num=1, num_images=1)
    assert first.reused and measured.images == [1, 1, 1]
    again = post_train_detector(*detector, "train", out, FOUR_BIT, num=1, num_images=1)
    assert again.map_11point == first.map_11point and measured.images == [1, 1, 1]
    whole = post_train_detector(*detector, "train", out, FOUR_BIT, num=1)
    assert measured.images == [1, 1, 1, 2, 2, 2] and whole.map_11point["float"] == 0.2
    unasked = post_train_detector(*detector, "train", out, FOUR_BIT, num=1, measure=False)
    assert unasked.map_11point == {}


def test_an_interrupted_measurement_loses_no_weights(detector, tmp_path, measured):
    measured.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        post_train_detector(*detector, "train", tmp_path, FOUR_BIT, num=1)
    measured.error = None
    found = post_train_detector(*detector, "train", tmp_path, FOUR_BIT, num=1)
    assert found.reused and set(found.map_11point) == {"float", "nearest", "data-aware"}
