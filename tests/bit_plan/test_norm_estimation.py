"""From a post-trained detector through a training with averaged weights to an artifact."""

import pytest
import torch

from lbwdet.bit_plan.norm_estimation import estimate_detector_norms
from lbwdet.bit_plan.post_training import post_train_detector
from lbwdet.checkpoints import read_checkpoint
from lbwdet.cli import main
from lbwdet.configs import load_config
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.errors import ConfigError
from lbwdet.layers import quantized_layers
from lbwdet.measuring.detectors import build_detector
from lbwdet.testing import tiny_config, write_tiny_voc
from lbwdet.training.run import train

FOUR_BIT = dict(bit_width=4, code="dense", granularity="tensor")
PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(64, 64), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs"),
]


@pytest.fixture(scope="module")
def post_trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrained")
    root = write_tiny_voc(folder / "data", num_trainval=3, num_test=2)
    config = tiny_config(root, folder / "run")
    for split in ("train", "test"):
        config[f"{split}_dataloader"].dataset.pipeline = PIPELINE
    config.pop("experiment_name")
    config.dump(folder / "tiny.py")
    torch.manual_seed(0)
    torch.save(dict(state_dict=build_detector(config).state_dict()), folder / "float.pth")
    options = dict(num=2, measure=False)
    return post_train_detector(
        folder / "tiny.py", folder / "float.pth", "train", folder / "low", FOUR_BIT, **options
    )


def test_averaged_weights_are_checkpointed_estimated_and_exported(post_trained, tmp_path, capsys):
    config, start = post_trained.config, post_trained.checkpoint
    hooks = [dict(type="EMAHook", momentum=0.5), dict(type="QuantMonitorHook")]
    runner = train(config, tmp_path / "run", cfg_options=dict(custom_hooks=hooks))
    trained = tmp_path / "run" / "epoch_1.pth"
    _, meta = read_checkpoint(trained)
    average = next(hook for hook in runner.hooks if type(hook).__name__ == "EMAHook").ema_model
    model = build_detector(load_config(config), trained)
    name, layer = list(quantized_layers(model).items())[-1]
    begun = read_checkpoint(start)[0][f"{name}.weight"]
    assert torch.equal(layer.weight, average.module.get_submodule(name).weight)
    assert not torch.equal(layer.weight, runner.model.get_submodule(name).weight)
    assert not torch.equal(layer.weight, begun)
    assert meta["lbwdet"]["quant"][name] == "4bit dense exact tensor"

    line = ["quantize", str(config), "--norms-only", "--checkpoint", str(trained)]
    line += ["--post-training", "train", "--num", "3", "--out", str(tmp_path / "norms")]
    assert main(line) == 0
    assert "batch norms estimated on 3 images" in capsys.readouterr().out
    written = build_detector(
        load_config(tmp_path / "norms" / "config.py"), tmp_path / "norms" / "post_trained.pth"
    )
    for name, layer in quantized_layers(written).items():
        projected = model.get_submodule(name).fake_quantized_weight()
        assert torch.equal(layer.fake_quantized_weight(), projected), name
    changed = [
        key
        for key, value in written.state_dict().items()
        if "running_var" in key and not torch.equal(value, model.state_dict()[key])
    ]
    assert changed

    artifact = tmp_path / "a.lbw"
    files = [str(tmp_path / "norms" / "config.py"), str(tmp_path / "norms" / "post_trained.pth")]
    assert main(["export", *files, "--out", str(artifact)]) == 0  # calibrated on the same images
    assert len(read_artifact(artifact).info["calibration"]["images"]) == 3
    assert main(["export", *files[:1], str(trained), "--out", str(artifact)]) == 2
    assert "does not say which images it was made by" in capsys.readouterr().err


def test_bad_input(post_trained, tmp_path, capsys):
    folder = post_trained.config.parent.parent
    with pytest.raises(ConfigError, match="is a float config; --norms-only is for low-bit"):
        estimate_detector_norms(folder / "tiny.py", folder / "float.pth", "train", tmp_path / "no")
    line = ["quantize", str(post_trained.config), "--norms-only", "--bit-width", "4"]
    assert main(line) == 2
    assert "--norms-only needs --post-training IMAGES and --checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
