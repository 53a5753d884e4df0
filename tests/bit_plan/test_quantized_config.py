import os
from pathlib import Path

import pytest
import torch

from lbwdet.bit_plan.quantized_config import float_and_quantized_map, write_quantized_config
from lbwdet.checkpoints import read_checkpoint
from lbwdet.cli import main
from lbwdet.configs import load_config, set_data_root
from lbwdet.errors import CheckpointError, ConfigError, LBWError
from lbwdet.layers import describe_quantization, quantized_layers
from lbwdet.measuring.accuracy import detect_all, evaluate
from lbwdet.measuring.candidates import TorchCandidate
from lbwdet.measuring.detectors import build_detector
from lbwdet.measuring.testset import load_test_set
from lbwdet.training.run import train

FOUR_BIT = dict(bit_width=4, code="dense")


def write(tmp_path: Path, config: str, **options) -> tuple[Path, dict]:
    out = tmp_path / "new.py"
    return out, write_quantized_config(config, out, options.pop("weight", FOUR_BIT), **options)


def test_the_written_config_trains(float_detector, tmp_path):
    out, _ = write(
        tmp_path,
        float_detector.config,
        keep_float=["bbox_head.*"],
        checkpoint=float_detector.checkpoint,
    )
    named = {"experiment_name": "written", "visualizer.name": "written"}
    train(out, work_dir=str(tmp_path / "run"), cfg_options={**named, "val_cfg": None} | NO_VAL)
    before, _ = read_checkpoint(float_detector.checkpoint)
    after, _ = read_checkpoint(tmp_path / "run" / "epoch_1.pth")
    assert before.keys() == after.keys()
    assert not torch.equal(before["backbone.conv1.weight"], after["backbone.conv1.weight"])
    layers = quantized_layers(build_detector(load_config(out)))
    assert layers and not any(name.startswith("bbox_head") for name in layers)


NO_VAL = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)


def test_it_is_a_few_lines_on_the_base(float_detector, tmp_path):
    out, written = write(
        tmp_path,
        float_detector.config,
        overrides={"neck.*": dict(bit_width=6)},
        checkpoint=float_detector.checkpoint,
    )
    base = os.path.relpath(float_detector.config, tmp_path)
    assert out.read_text().splitlines() == [
        f"_base_ = '{base}'",
        "custom_imports = dict(imports=['lbwdet.models', 'lbwdet.training'])",
        "model = dict(type='LBWDetector', detector='RetinaNet', "
        "quant=dict(weight=dict(bit_width=4, code='dense'), overrides={",
        "    'neck.*': dict(bit_width=6),",
        "}))",
        f"load_from = '{float_detector.checkpoint}'",
        "work_dir = 'work_dirs/new'",  # the float config names one, where its checkpoints are
    ]
    model = build_detector(load_config(out))
    assert written["layers"] == describe_quantization(model)
    assert {line[:4] for name, line in written["layers"].items() if "neck" in name} == {"6bit"}
    assert written["weight_bytes"] < written["float_bytes"] / 4


def test_a_training_is_none_of_the_float_one(float_detector, tmp_path):
    cfg = load_config(float_detector.config)
    base = tmp_path / "base.py"
    cfg.dump(base)
    base.write_text(f"{base.read_text()}\nresume = True\n")
    out, _ = write(tmp_path, base, checkpoint=float_detector.checkpoint)
    assert load_config(base).resume and not load_config(out).resume
    assert load_config(out).work_dir != load_config(base).work_dir
    shipped, _ = write(tmp_path, "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py")
    assert "work_dir" not in load_config(shipped)


def test_hooks_and_imports_of_a_shipped_config_stay(tmp_path):
    name = "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py"
    out, _ = write(tmp_path, name)
    written, shipped = load_config(out), load_config(name)
    hooks = [[hook["type"] for hook in cfg.custom_hooks] for cfg in (written, shipped)]
    assert hooks[0] == hooks[1]
    model = written.model
    assert (model.type, model.detector) == ("LBWDetector", "YOLOX")
    assert model.keys() - shipped.model.keys() == {"detector", "quant", "_scope_"}


def test_the_detector_of_a_semi_supervised_training_is_quantized_twice(tmp_path):
    name = "mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py"
    out, written = write(tmp_path, name, keep_float=["backbone.conv1"])
    model = load_config(out).model
    assert (model.type, model.detector.type) == ("SoftTeacher", "LBWDetector")
    of = {
        part: [n for n in written["layers"] if n.startswith(part)] for part in ("student", "teach")
    }
    assert len(of["student"]) == len(of["teach"]) > 50
    assert list(written["float_weights"]) == [
        f"{part}.backbone.conv1.weight" for part in ("student", "teacher")
    ]


def test_a_config_of_python_imports_is_written_out(float_detector, tmp_path):
    old = load_config(float_detector.config)
    new_style = tmp_path / "new_style.py"
    head = "from mmdet.models.detectors import RetinaNet\nfrom mmengine.config import read_base\n"
    text = old.pretty_text.replace("type='RetinaNet'", "type=RetinaNet")
    new_style.write_text(head + text)
    out, written = write(tmp_path, str(new_style))
    assert "_base_ =" not in out.read_text()
    assert describe_quantization(build_detector(load_config(out))) == written["layers"]


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(keep_float=["nothing*"]), "'nothing.' matches no layer"),
        (dict(weight=dict(bit_width=11)), "bit_width=11"),
        (dict(overrides={"neck.*": dict(bits=3)}), "unknown weight settings"),
        (dict(keep_float=["*"]), "leaves no layer"),
        (dict(weight=dict(bit_width=32)), "would quantize no layer"),
        (dict(checkpoint="missing.pth"), "no such checkpoint"),
    ],
)
def test_a_mistake_leaves_no_file(float_detector, tmp_path, options, message):
    with pytest.raises(LBWError, match=message):
        write(tmp_path, float_detector.config, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_model(float_detector, tmp_path):
    with pytest.raises(CheckpointError, match="does not fit"):
        write(
            tmp_path,
            "mmdet::retinanet/retinanet_r18_fpn_1x_coco.py",
            checkpoint=float_detector.checkpoint,
        )
    assert list(tmp_path.iterdir()) == []


def test_refuses_what_is_quantized_already(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"6bit.py: is quantized already"):
        write(tmp_path, tiny.six_bit_config)


def test_refuses_other_files(float_detector, tmp_path):
    with pytest.raises(ConfigError, match=r"this is the given .*; name another file"):
        write_quantized_config(float_detector.config, float_detector.config, FOUR_BIT)
    with pytest.raises(ConfigError, match=r"new.json: the config is written as Python"):
        write_quantized_config(float_detector.config, tmp_path / "new.json", FOUR_BIT)


def test_map_before_training(float_detector, tmp_path):
    out, _ = write(tmp_path, float_detector.config, weight=dict(bit_width=2))
    found = float_and_quantized_map(float_detector.config, out, float_detector.checkpoint)
    for config, value in zip((float_detector.config, out), found, strict=True):
        cfg = load_config(config)
        test_set = load_test_set(cfg)
        candidate = TorchCandidate("model", cfg, float_detector.checkpoint)
        expected = evaluate(detect_all(candidate, test_set), test_set.truths, test_set.classes)
        assert value == pytest.approx(expected.map_11point, abs=1e-6)
    with pytest.raises(CheckpointError, match="no such"):
        float_and_quantized_map(float_detector.config, out, tmp_path / "missing.pth")


class TestCommand:
    def test_prints_size_and_map(self, float_detector, tmp_path, capsys):
        arguments = ["quantize", float_detector.config, "--bit-width", "4"]
        arguments += ["--out", str(tmp_path / "q.py"), "--checkpoint", float_detector.checkpoint]
        assert main([*arguments, "--num-images", "1"]) == 0
        printed = capsys.readouterr().out
        assert "layers at 4 bits" in printed and "mAP without training: 0." in printed
        assert "Trains, but cannot be deployed yet: test pipeline: Resize(" in printed

    def test_without_data(self, tmp_path, capsys, float_detector, monkeypatch):
        moved = tmp_path / "moved.py"
        config = load_config(float_detector.config)
        set_data_root(config, tmp_path / "nowhere")
        config.dump(moved)
        arguments = ["quantize", str(moved), "--bit-width", "4", "--out", str(tmp_path / "q.py")]
        arguments += ["--no-deploy-check"]
        assert main([*arguments, "--checkpoint", float_detector.checkpoint]) == 0
        assert "mAP was not measured: data not found" in capsys.readouterr().out
        root = load_config(float_detector.config).test_dataloader.dataset.data_root
        arguments += ["--checkpoint", float_detector.checkpoint, "--num-images", "1"]
        assert main([*arguments, "--data-root", root]) == 0
        assert "mAP without training: 0." in capsys.readouterr().out
