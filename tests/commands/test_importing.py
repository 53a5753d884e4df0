from pathlib import Path

from lbwdet.importing.yolox import Imported

IMPORT = "lbwdet.importing.yolox:import_yolox"


def test_import_yolox(asked, capsys):
    result = Imported(Path("c.pth"), "nano", ("cat", "dog"), 300, 2e-6)
    call = asked(IMPORT, result, "import-yolox", "yolox_nano.onnx", "--out", "c.pth")
    assert call == dict(
        source="yolox_nano.onnx", out="c.pth", config=None, images=None, num=300, data_root=None
    )
    assert capsys.readouterr().out == (
        "c.pth: YOLOX-nano, 2 classes, batch norm measured on 300 images, "
        "outputs within 2.0e-06 of ONNX Runtime's\n"
    )
    line = ["--config", "a.py", "--images", "train", "--num", "9", "--data-root", "r"]
    call = asked(IMPORT, result, "import-yolox", "f.onnx", "--out", "c.pth", *line)
    assert list(call.values()) == ["f.onnx", "c.pth", "a.py", "train", 9, "r"]
