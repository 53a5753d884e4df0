"""What ``train`` makes of its arguments; more of it in ``tests/commands/test_training.py``."""

import pytest
import torch

from lbwdet.bit_plan.low_bit_start import low_bit_settings
from lbwdet.checkpoints import read_checkpoint
from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.layers import describe_quantization, input_quantizers
from lbwdet.training import run
from lbwdet.training.atomic_backend import NAME
from lbwdet.training.run import check_launcher, train


@pytest.fixture
def started(make_config, tmp_path, monkeypatch):
    """Calls ``train`` up to where the runner would start; returns the runner's config."""

    class Runner:
        @staticmethod
        def from_cfg(cfg):
            Runner.cfg = cfg
            return Runner()

        def train(self):
            pass

    monkeypatch.setattr(run, "Runner", Runner)
    monkeypatch.chdir(tmp_path)

    def start(changes=None, **options):
        config = make_config(changes=changes)
        config.pop("work_dir")
        config.dump(tmp_path / "some name.py")
        train(tmp_path / "some name.py", **options)
        return Runner.cfg

    return start


def test_plain(started):
    cfg = started()
    assert cfg.work_dir == "work_dirs/some name" and cfg.launcher == "none"
    assert not cfg.resume and cfg.load_from is None
    assert cfg.default_hooks.checkpoint.backend_args == dict(backend=NAME)


def test_the_options_of_the_command_line_win(started, tiny_root):
    options = {"optim_wrapper.optimizer.lr": 0.5, "work_dir": "config's"}
    assert started(cfg_options=options).work_dir == "config's"
    cfg = started(work_dir="mine", cfg_options=options, data_root=str(tiny_root))
    assert cfg.work_dir == "mine" and cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.train_dataloader.dataset.data_root == str(tiny_root)


def test_mixed_precision_of_the_machine(started, monkeypatch):
    assert started(amp=True).optim_wrapper.type == "CPUAmpOptimWrapper"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    wrapper = started(amp=True).optim_wrapper
    assert wrapper.type == "AmpOptimWrapper" and wrapper.loss_scale == "dynamic"


def test_the_learning_rate_is_scaled_on_demand(started):
    base = {"auto_scale_lr": dict(enable=False, base_batch_size=16)}
    assert not started(base).auto_scale_lr.enable
    assert started(base, auto_scale_lr=True).auto_scale_lr.enable


def test_hooks_that_every_training_shall_have(started, make_config):
    cfg = started()
    assert [hook["type"] for hook in cfg.custom_hooks] == [
        "mmdet.ActivationHook",
        "mmdet.ProjectionHook",
        "mmdet.QuantRecordHook",
        "mmdet.ResumeHook",
    ]
    assert "lbwdet.training" in cfg.custom_imports.imports
    own = {"default_hooks.activation": dict(type="ActivationHook", num_batches=2)}
    own["custom_hooks"] = [
        dict(type=name) for name in ("mmdet.ResumeHook", "ProjectionHook", "QuantRecordHook")
    ]
    cfg = started(own)
    assert cfg.custom_hooks == own["custom_hooks"]
    assert cfg.default_hooks.activation.num_batches == 2


def test_quantized_activations_are_trained_by_any_config(make_config, tmp_path):
    """One that names no hook of ours, as ``lbwdet quantize`` writes them."""
    quant = dict(weight=dict(bit_width=4), activation=dict(bit_width=8))
    config = make_config(quant=quant)
    config.custom_hooks = []
    config.dump(tmp_path / "a.py")
    runner = train(tmp_path / "a.py")
    assert all(q.is_calibrated for q in input_quantizers(runner.model).values())
    _, meta = read_checkpoint(f"{runner.work_dir}/epoch_1.pth")
    assert low_bit_settings(meta) == describe_quantization(runner.model)


def test_there_is_always_a_whole_checkpoint(started):
    """MMEngine removes the oldest before it writes the newest."""
    hook = started({"default_hooks.checkpoint.max_keep_ckpts": 1}).default_hooks.checkpoint
    assert hook.max_keep_ckpts == 2
    theirs = dict(backend="petrel")
    hook = started({"default_hooks.checkpoint.backend_args": theirs}).default_hooks.checkpoint
    assert hook.backend_args == theirs and "max_keep_ckpts" not in hook


def test_resume_takes_the_latest_checkpoint(started, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "check_model", lambda cfg, partial: None)
    folder = tmp_path / "run"
    folder.mkdir()
    for number in (2, 10):
        (folder / f"epoch_{number}.pth").touch()
    cfg = started({"load_from": "pretrained.pth"}, work_dir="run", resume="auto")
    assert cfg.resume and cfg.load_from == "run/epoch_10.pth"
    cfg = started(work_dir="run", resume="run/epoch_2.pth")
    assert cfg.resume and cfg.load_from == "run/epoch_2.pth"


def test_a_missing_start_comes_with_how_to_get_it(started):
    with pytest.raises(CheckpointError, match=r"no such checkpoint\n.*\n  train that model\nor"):
        started({"load_from": "none.pth"})
    with pytest.raises(CheckpointError, match=r"Make it first:\n  fetch it\nor name another one"):
        started({"load_from": "none.pth", "load_from_hint": "fetch it"})


@pytest.mark.parametrize("launcher", ["pytorch", "slurm", "mpi"])
def test_launchers_need_their_processes(launcher, monkeypatch):
    for variable in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_LOCAL_RANK"):
        monkeypatch.delenv(variable, raising=False)
    check_launcher("none")
    with pytest.raises(ConfigError, match=rf"--launcher {launcher}: \$\w+ is not set"):
        check_launcher(launcher)
    monkeypatch.setenv("RANK", "0")
    check_launcher("pytorch")
