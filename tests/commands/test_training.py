"""``lbwdet train`` and ``test`` as users meet them: mistakes first, then a real, tiny training."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lbwdet.checkpoints import read_checkpoint
from lbwdet.cli import main
from lbwdet.configs import load_config
from lbwdet.testing import tiny_config, write_tiny_voc
from lbwdet.training.build import build_model

REPOSITORY = Path(__file__).parents[2]
TOY_6BIT = str(REPOSITORY / "configs" / "lbw_frcnn_toy_6bit.py")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two training images, one test image; a 6-bit config of them and random weights for it."""
    folder = tmp_path_factory.mktemp("cli")
    root = write_tiny_voc(folder / "data", num_trainval=2, num_test=1)
    config = tiny_config(root, "unused", quant=dict(weight=dict(bit_width=6)))
    config.pop("work_dir")
    config.pop("experiment_name")
    config.dump(folder / "tiny.py")
    checkpoint = folder / "random.pth"
    torch.save(dict(state_dict=build_model(config).state_dict()), checkpoint)
    return SimpleNamespace(root=root, config=str(folder / "tiny.py"), checkpoint=str(checkpoint))


@pytest.fixture
def fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command that must stop with code 2 and one message, and write nothing."""

    def run(*arguments: str) -> str:
        empty = tmp_path / "empty"
        empty.mkdir(exist_ok=True)
        monkeypatch.chdir(empty)
        assert main(arguments) == 2
        printed = capsys.readouterr().err
        assert printed.count("error: ") == 1 and "Traceback" not in printed
        assert list(empty.iterdir()) == []
        return printed.partition("error: ")[2]

    return run


def altered(tiny: SimpleNamespace, path: Path, change: Callable[[dict], None]) -> str:
    state = torch.load(tiny.checkpoint, weights_only=True)["state_dict"]
    change(state)
    torch.save(dict(state_dict=state), path)
    return str(path)


def named(name: str) -> list[str]:
    """MMEngine keeps loggers and visualizers by name as long as the process lives."""
    return [f"experiment_name={name}", f"visualizer.name={name}"]


def options(*pairs: str) -> list[str]:
    return ["--cfg-options", *pairs]


def test_options_reach_training_as_they_were_meant(monkeypatch):
    seen = {}
    monkeypatch.setattr("lbwdet.training.run.train", lambda *a, **options: seen.update(options))
    pairs = ["a.b=1", "c=[1, x]", "d=(2,3)", "e=None", "f='my runs, old/a.pth'", "g=x=y", 'h="[1]"']
    assert main(["train", "a.py", "--resume", "--amp", *options(*pairs), *options("i=True")]) == 0
    assert seen["cfg_options"] == {
        "a.b": 1,
        "c": [1, "x"],
        "d": (2, 3),
        "e": None,
        "f": "my runs, old/a.pth",
        "g": "x=y",
        "h": [1],
        "i": True,
    }
    assert seen["resume"] == "auto" and seen["amp"] and not seen["partial"]
    assert main(["train", "a.py", "--resume", "b.pth"]) == 0
    assert seen["resume"] == "b.pth" and seen["cfg_options"] is None


@pytest.mark.parametrize("flag", ["--local_rank", "--local-rank"])
def test_the_rank_of_an_older_launcher(monkeypatch, flag):
    monkeypatch.setattr("lbwdet.training.run.train", lambda *arguments, **options: None)
    monkeypatch.setenv("LOCAL_RANK", "unset")
    monkeypatch.delenv("LOCAL_RANK")
    assert main(["train", "a.py", f"{flag}=3"]) == 0 and os.environ["LOCAL_RANK"] == "3"
    assert main(["train", "a.py", f"{flag}=4"]) == 0 and os.environ["LOCAL_RANK"] == "3"


# What train refuses


def test_no_data(fails, monkeypatch):
    message = fails("train", TOY_6BIT)
    folder = Path.cwd() / "data" / "toy"
    assert message.startswith(f"data not found; looked in {folder}\n")
    assert "train/val: data/toy: no such folder; it should hold VOC2007/" in message
    assert "python tools/make_toy_data.py --root data/toy/" in message
    monkeypatch.setenv("LBWDET_VOC", "/no/such/folder")
    voc = fails("train", TOY_6BIT.replace("toy", "voc"))
    assert "looked in /no/such/folder\n" in voc and "VOCtrainval_06-Nov-2007.tar" in voc


def test_no_data_from_the_tool_itself(tmp_path):
    command = [sys.executable, "-W", "ignore", str(REPOSITORY / "tools" / "train.py"), TOY_6BIT]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: data not found; looked in")
    assert list(tmp_path.iterdir()) == []


def test_no_such_config(fails):
    message = fails("train", str(REPOSITORY / "configs" / "lbw_frcnn_toy_7bit.py"))
    assert "lbw_frcnn_toy_7bit.py: no such config; " in message
    assert "lbw_frcnn_bccd_2bit.py, " in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = dict(", "cannot be read as a config: "),
        ("data_root = 1", "no 'model' in this config"),
        ("model = dict(type='FasterRNN')", "the model cannot be built: 'FasterRNN is not in"),
        ("model = dict(type='FasterRCNN', spine=1)", "the model cannot be built: "),
    ],
)
def test_broken_configs(fails, tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    assert f"{path}: {message}" in fails("train", str(path))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("weight.bit_width=9", "bit_width=9"),
        ("weight.code=packed", "choose one of paper, dense"),
        ("weight.solver=magic", "choose one of exact, threshold, sort"),
        ("weight.granularity=row", "choose one of tensor, channel"),
        ("weight.width=4", "unknown weight settings ['width']; choose from bit_width, "),
        ("wieght.bit_width=4", "unexpected keyword argument 'wieght'"),
        ("keep_float=[no_such_layer]", "'no_such_layer' matches no layer of FasterRCNN; its"),
        ("overrides.fc9.bit_width=4", "'fc9' matches no layer of FasterRCNN; its"),
    ],
)
def test_quantization_that_does_not_exist(fails, tiny, setting, message):
    pairs = options("load_from=None", f"model.quant.{setting}")
    assert message in fails("train", TOY_6BIT, "--data-root", str(tiny.root), *pairs)


def test_a_part_quantized_by_itself_is_looked_at_too(fails, tiny):
    pairs = options("load_from=None", "model.backbone.quant.weight.bit_width=9")
    assert "bit_width=9" in fails("train", TOY_6BIT, "--data-root", str(tiny.root), *pairs)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("weight.bit_width=9", "bit_width=9"),
        ("keep_float=[no_such_layer]", "'no_such_layer' matches no layer of FasterRCNN; its"),
    ],
)
def test_the_hook_is_looked_at_before_anything_is_written(fails, tiny, tmp_path, setting, message):
    cfg = load_config(tiny.config)
    cfg.model.quant = None
    cfg.custom_hooks = [dict(type="QuantizeHook", quant=dict(weight=dict(bit_width=6)))]
    cfg.dump(tmp_path / "hooked.py")
    pairs = options(f"custom_hooks.0.quant.{setting}")
    assert message in fails("train", str(tmp_path / "hooked.py"), *pairs)


def test_resume_without_a_checkpoint(fails, tiny):
    message = fails("train", tiny.config, "--resume")
    assert f"no checkpoint in {Path.cwd()}/work_dirs/tiny; leave --resume out" in message
    message = fails("train", tiny.config, "--resume", "no.pth")
    assert message == "no.pth: no such checkpoint\n"


def test_code_in_a_checkpoint_is_not_run(fails, tiny, tmp_path):
    checkpoint = torch.load(tiny.checkpoint, weights_only=True)
    code = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    path = tmp_path / "code.pth"
    torch.save({**checkpoint, "meta": dict(config=code, epoch=1, iter=1)}, path)
    assert "holds a config text" in fails("train", tiny.config, "--resume", str(path))
    assert not (tmp_path / "ran").exists()


def test_load_from_says_which_config_makes_it(fails, tiny):
    message = fails("train", TOY_6BIT, "--data-root", str(tiny.root))
    assert "work_dirs/lbw_frcnn_toy_fp32/epoch_10.pth: no such checkpoint" in message
    maker = REPOSITORY / "configs" / "lbw_frcnn_toy_fp32.py"
    assert f"  python tools/train.py {maker}\n" in message and "load_from=PATH" in message
    message = fails("train", tiny.config, *options("load_from='my runs/a.pth'"))
    assert message.startswith("my runs/a.pth: no such") and "  train that model\n" in message


def test_damaged_checkpoints(fails, tiny, tmp_path):
    cut = tmp_path / "cut.pth"
    cut.write_bytes(Path(tiny.checkpoint).read_bytes()[:5000])
    message = fails("train", tiny.config, *options(f"load_from='{cut}'"))
    assert "cut.pth: the checkpoint is truncated or corrupt (5,000 bytes" in message
    assert "cut.pth: the checkpoint is truncated" in fails(
        "train", tiny.config, "--resume", f"{cut}"
    )
    assert "cut.pth: the checkpoint is truncated" in fails("test", tiny.config, str(cut))

    def diverge(state):
        state["rpn_head.rpn_cls.bias"][0] = float("nan")

    nan = altered(tiny, tmp_path / "nan.pth", diverge)
    message = fails("train", tiny.config, *options(f"load_from='{nan}'"))
    assert "NaN or infinite values in rpn_head.rpn_cls.bias" in message


def test_auto_scale_lr_without_a_base(fails, tiny):
    message = fails("train", tiny.config, "--auto-scale-lr")
    assert "--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...)" in message


@pytest.mark.parametrize("command", [["train"], ["test", "--work-dir", "x"]])
def test_a_launcher_that_did_not_launch(fails, tiny, command, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    files = [tiny.config] if command[0] == "train" else [tiny.config, tiny.checkpoint]
    message = fails(*command, *files, "--launcher", "pytorch")
    assert "$RANK is not set; start the processes by torchrun" in message


def test_test_refuses_what_train_refuses(fails, tiny):
    assert "no such checkpoint" in fails("test", tiny.config, "no.pth")
    assert "data not found" in fails("test", TOY_6BIT, tiny.checkpoint)
    message = fails("test", TOY_6BIT, tiny.checkpoint, "--data-root", str(tiny.root))
    assert "of another shape: backbone.bn1.bias (checkpoint (8,), model (16,))" in message
    message = fails("test", tiny.config, tiny.checkpoint, "--out", "found.json")
    assert "--out found.json: predictions are written as .pkl" in message


# A real run


def test_a_checkpoint_that_fits_in_part(fails, tiny, tmp_path):
    def change(state):
        state["roi_head.bbox_head.fc_cls.bias"] = torch.zeros(21)
        state["head.weight"] = state.pop("rpn_head.rpn_cls.bias")

    other = altered(tiny, tmp_path / "other.pth", change)
    start = options(f"load_from='{other}'", "val_cfg=None", "val_dataloader=None")
    start += ["val_evaluator=None", "optim_wrapper.optimizer.lr=0.0", *named("partial")]
    message = fails("train", tiny.config, *start)
    assert "1 missing from the checkpoint: rpn_head.rpn_cls.bias" in message
    assert "1 unknown to the model: head.weight" in message
    assert "roi_head.bbox_head.fc_cls.bias (checkpoint (21,), model (3,))" in message
    assert "--partial" in message

    run = ["train", tiny.config, "--partial", "--work-dir", str(tmp_path / "run"), *start]
    assert main(run) == 0
    state, _ = read_checkpoint(tmp_path / "run" / "epoch_1.pth")
    loaded = torch.load(other, weights_only=True)["state_dict"]
    shared = [key for key in loaded if key in state and key.endswith("weight")]
    assert len(shared) > 40 and all(torch.equal(state[key], loaded[key]) for key in shared)


def test_trains_resumes_and_mixes_precision(tiny, tmp_path):
    work_dir = tmp_path / "my run"
    run = ["train", tiny.config, "--work-dir", str(work_dir)]
    no_val = ["val_cfg=None", "val_dataloader=None", "val_evaluator=None"]
    assert main([*run, *options("log_level=INFO", *named("first"))]) == 0
    (log,) = work_dir.glob("*/*.log")
    text = log.read_text()
    assert re.search(r"Epoch\(train\)\s+\[1\]\[1/1\]  .*eta: \S+  time: .* loss: ", text)
    assert "pascal_voc/mAP: " in text
    first, meta = read_checkpoint(work_dir / "epoch_1.pth")
    assert meta["epoch"] == 1 and (work_dir / "last_checkpoint").read_text().endswith("epoch_1.pth")

    more = options("train_cfg.max_epochs=2", *named("second"), *no_val)
    assert main([*run, "--resume", "--amp", *more]) == 0
    second, meta = read_checkpoint(work_dir / "epoch_2.pth")
    assert meta["epoch"] == 2 and "type='CPUAmpOptimWrapper'" in meta["cfg"]
    assert any(not torch.equal(first[key], second[key]) for key in first)
    assert all(value.dtype != torch.bfloat16 for value in second.values())
    assert not [path for path in work_dir.iterdir() if path.name.startswith(".")]
