import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbwdet.cli import main

TOOL = Path(__file__).parents[2] / "tools" / "compare.py"


def test_compares_and_prints_the_table(tiny, tmp_path, capsys):
    model = f"tiny={tiny.six_bit_config}:{tiny.checkpoint}"
    options = ["--out", str(tmp_path), "--threads", "1", "--no-latency", "--num-images", "2"]
    override = ["--cfg-options", "model.test_cfg.rcnn.max_per_img=1"]
    assert main(["compare", model, *options, *override]) == 0
    printed = capsys.readouterr().out
    assert "| tiny " in printed and "report/index.html" in printed
    written = json.loads((tmp_path / "compare.json").read_text())
    assert sum(one["num_dets"] for one in written["models"][0]["per_class"].values()) <= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.py", "--out", "x"], "error: 'a.py': no name before a '='"),
        (["a=b.py:c.pth", "--out", "x"], "error: b.py: no such config"),
    ],
)
def test_mistakes_give_a_message_and_code_2(arguments, message, capsys):
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message) and "Traceback" not in captured.err
    assert not Path("x").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a=b.py:c.pth"],
        ["a=b.py:c.pth", "--out", "x", "--threads", "0"],
        ["a=b.py:c.pth", "--out", "x", "--cfg-options", "word"],
    ],
)
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_the_tool_helps_without_loading_mmdetection():
    command = [sys.executable, "-X", "importtime", str(TOOL), "--help"]
    environment = os.environ | dict(PYTHONPATH=str(TOOL.parents[1]))
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0 and "NAME=CONFIG:CHECKPOINT" in done.stdout
    assert "lbwdet.evaluation.command" in done.stderr and "mmdet" not in done.stderr
