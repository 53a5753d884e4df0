import json
import math
import os
import re

import pytest
import torch
from torch import nn

from lbwdet.cli import main
from lbwdet.configs import load_config
from lbwdet.errors import CheckpointError, ConfigError, LBWError
from lbwdet.layers import quantize_, quantized_layers
from lbwdet.measuring import accuracy, cache
from lbwdet.studies.mu_sweep import SweepSettings, sweep_mu, weight_error
from lbwdet.testing import tiny_config, write_tiny_voc
from lbwdet.training.build import build_model
from lbwdet.training.jobs import TrainingJob
from lbwdet.training.run import train

FILES = {"sweep_mu.json", "sweep_mu.md", "sweep_mu.png"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A float config of two training images and one test image, and random weights for it."""
    folder = tmp_path_factory.mktemp("sweep")
    root = write_tiny_voc(folder / "data", num_trainval=2, num_test=1)
    config = tiny_config(root, "unused")
    config.pop("work_dir")
    path = folder / "float.py"
    config.dump(path)
    torch.manual_seed(0)
    checkpoint = folder / "float.pth"
    torch.save(dict(state_dict=build_model(config).state_dict()), checkpoint)
    return str(path), str(checkpoint)


def test_error_is_averaged_over_the_weights():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, 1.5]]))
        model[1].weight.copy_(torch.tensor([[1.0, 0.5]]))
    quantize_(model, weight=dict(bit_width=3))
    # 1.5 becomes 1 or 2: 0.25 of 3 + 2.25 are lost by four weights, nothing by two.
    assert weight_error(model) == pytest.approx(0.25 / 5.25 * 4 / 6)
    nn.init.zeros_(model[0].weight)
    assert weight_error(model.eval()) == 0


def test_points_are_measured_and_reused(tiny, tmp_path, monkeypatch):
    arguments = dict(bit_widths=[4, 3], mus=[0.75, 0.25], threads=1)
    content = sweep_mu(*tiny, tmp_path, SweepSettings(**arguments))
    assert {path.name for path in tmp_path.iterdir()} >= FILES
    assert json.loads((tmp_path / "sweep_mu.json").read_text()) == content
    rows = content["rows"]
    assert [(row["bit_width"], row["mu"]) for row in rows] == [
        (width, mu) for width in (3, 4) for mu in (0.25, 0.75, None)
    ]
    for width in (3, 4):
        *swept, exact = [row["error"] for row in rows if row["bit_width"] == width]
        assert exact < min(swept)  # no mu is better than the least squares
        assert len(set(swept)) == 2
    assert all(math.isfinite(row["mAP_11point"]) for row in rows)
    assert (tmp_path / "sweep_mu.png").read_bytes().startswith(b"\x89PNG")

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(cache, "detect_all", never)
    assert sweep_mu(*tiny, tmp_path, SweepSettings(**arguments)) == content


def test_an_interrupted_sweep_keeps_what_is_finished(tiny, tmp_path, monkeypatch):
    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:  # float, the first mu, ...
            raise KeyboardInterrupt
        return accuracy.detect_all(*arguments)

    monkeypatch.setattr(cache, "detect_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep_mu(*tiny, tmp_path, SweepSettings([4], [0.5, 0.75], threads=1))
    rows = json.loads((tmp_path / "sweep_mu.json").read_text())["rows"]
    assert [row["mu"] for row in rows] == [0.5]
    monkeypatch.setattr(cache, "detect_all", lambda *a: calls.append(1) or accuracy.detect_all(*a))
    sweep_mu(*tiny, tmp_path, SweepSettings([4], [0.5, 0.75], threads=1))
    assert len(calls) == 3 + 2  # the second mu and the exact solver alone


def test_retrains_each_point_once(tiny, tmp_path, monkeypatch):
    trained = []

    def run_here(job, threads):  # a child process would load MMDetection again
        if not job.checkpoint.is_file():
            trained.append(job)
            train(job.config, work_dir=str(job.work_dir))
        return job.checkpoint

    monkeypatch.setattr(TrainingJob, "run", run_here)
    arguments = dict(bit_widths=[3], mus=[0.25], retrain=1, learning_rate=0.001, threads=1)
    content = sweep_mu(*tiny, tmp_path, SweepSettings(**arguments))
    folders = sorted(path.name for path in (tmp_path / "retrained").iterdir())
    assert [name.rpartition("-")[0] for name in folders] == ["3bit-exact", "3bit-mu0.25"]
    start = torch.load(tiny[1], weights_only=True)["state_dict"]
    for name in folders:
        folder = tmp_path / "retrained" / name
        after = torch.load(folder / "epoch_1.pth", weights_only=True)
        layers = quantized_layers(build_model(load_config(folder / "config.py")))
        solver = "exact" if "exact" in name else "threshold"
        assert {layer.quantizer.solver for layer in layers.values()} == {solver}
        changed = after["state_dict"]["backbone.conv1.weight"] - start["backbone.conv1.weight"]
        assert 0 < changed.abs().max() < 0.1  # one step from the checkpoint, no more
    assert all("retrained_mAP_area" in row for row in content["rows"])
    assert "retrained 11-point" in (tmp_path / "sweep_mu.md").read_text()
    assert len(trained) == 2
    assert sweep_mu(*tiny, tmp_path, SweepSettings(**arguments)) == content
    assert len(trained) == 2
    assert (
        sweep_mu(*tiny, tmp_path, SweepSettings(**{**arguments, "learning_rate": 0.002})) != content
    )
    assert len(trained) == 4  # other settings are another training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(bit_widths=[2]), "needs at least two magnitudes, bit_width=2"),
        (dict(bit_widths=[32]), "bit_width=32 is float: there is no mu to look for"),
        (dict(bit_widths=[9]), "bit_width=9"),
        (dict(bit_widths=[]), "give at least one bit width and one mu"),
        (dict(mus=[0.0]), "mu=0.0 is a fraction"),
        (dict(mus=[float("nan")]), "mu=nan is a fraction"),
        (dict(code="thick"), "code='thick'"),
        (dict(retrain=-1), "retrain=-1: give 0"),
        (dict(learning_rate=0.1), "of use with --retrain only"),
        (dict(retrain=1, learning_rate=-0.1), "learning rate -0.1: a positive number"),
        (dict(num_images=0), "num_images=0"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(tiny, tmp_path, changes, message):
    with pytest.raises(LBWError, match=message):
        sweep_mu(*tiny, tmp_path, SweepSettings(threads=1, **changes))
    assert os.listdir(tmp_path) == []


def test_a_config_that_cannot_be_retrained(tiny, tmp_path):
    path = tmp_path / "no_training.py"
    path.write_text(f"_base_ = {tiny[0]!r}\ntrain_cfg = dict(_delete_=True, max_iters=9)\n")
    with pytest.raises(ConfigError, match=r"no_training\.py: .* needs train_cfg\.max_epochs"):
        sweep_mu(path, tiny[1], tmp_path / "out", SweepSettings(retrain=1))


def test_a_checkpoint_of_another_model(tiny, tmp_path):
    torch.save(dict(state_dict={"a": torch.zeros(1)}), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not fit"):
        sweep_mu(tiny[0], tmp_path / "other.pth", tmp_path / "out", SweepSettings([4]))


def test_the_command(tiny, tmp_path, capsys):
    line = ["sweep-mu", *tiny, "--bit-width", "4", "--mu", "0.5", "--out-dir", str(tmp_path)]
    assert main([*line, "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^\| +4 +\| +0\.5 \|", printed, re.M)
    assert re.search(r"^\| +4 +\| exact solver \|", printed, re.M)
    assert main([*line, "--mu", "-1"]) == 2
    assert "mu=-1.0 is a fraction of max|W|" in capsys.readouterr().err
