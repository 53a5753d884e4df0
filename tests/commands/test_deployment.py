from types import SimpleNamespace

import pytest

from lbwdet.cli import main
from lbwdet.export import ExportSettings

EXPORT = "lbwdet.export:export"


@pytest.mark.parametrize("flag", ["--num-images", "--num"])
def test_export(asked, flag, capsys):
    exported = SimpleNamespace(summary=lambda: "35 layers")
    line = ["export", "a.py", "b.pth", "--out", "m.lbw", "--calibrate", "train"]
    call = asked(EXPORT, exported, *line, flag, "3", "--data-root", "r")
    assert [call[name] for name in ("config", "checkpoint", "out")] == ["a.py", "b.pth", "m.lbw"]
    assert call["settings"] == ExportSettings("train", num=3, data_root="r")
    assert capsys.readouterr().out == "m.lbw: 35 layers\n"
    assert asked(EXPORT, exported, *line[:-2])["settings"] == ExportSettings()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "a.py", "b.pth"], "required: --out"),
        (["export-onnx", "m.lbw"], "required: --out"),
        (["export-onnx", "m.lbw", "--out", "m.onnx", "--part", "neck"], "invalid choice: 'neck'"),
    ],
)
def test_usage_errors(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and message in capsys.readouterr().err
