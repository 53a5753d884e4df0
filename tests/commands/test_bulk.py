import pytest

pytest.importorskip("pyarrow", reason="pip install 'lbwdet[bulk]'")

from pathlib import Path

from lbwdet.bulk.detect import SHARD_SIZE, BulkResult, BulkSettings
from lbwdet.cli import main

TARGET = "lbwdet.bulk.detect:detect_in_bulk"


def test_every_flag_arrives(asked, capsys):
    result = BulkResult(9, 2, 4, Path("b.json.parquet"), Path("b.json"))
    line = ["detect", "in", "m.lbw", "--out", "b.json", "--workers", "3", "--threads", "2"]
    line += ["--cluster", "h:1", "--format", "coco", "--column", "c", "--shard-size", "7"]
    call = asked(TARGET, result, *line, "--engine", "reference", "--score-thr", "0.5")
    assert (call["source"], call["artifact"], call["out"]) == ("in", "m.lbw", "b.json")
    assert call["settings"] == BulkSettings(3, 2, "h:1", 7, "coco", "c", 0.5, "reference")
    printed = capsys.readouterr()
    assert printed.out == "9 images, 4 of them by earlier runs; see b.json\n"
    assert printed.err == "2 images could not be used; their rows in b.json.parquet say why\n"


def test_what_is_not_said(asked):
    result = BulkResult(9, 0, 0, Path("b.parquet"), Path("b.parquet"))
    call = asked(TARGET, result, "detect", "in", "m.lbw", "--out", "b.parquet")
    assert call["settings"] == BulkSettings(shard_size=SHARD_SIZE)


@pytest.mark.parametrize("arguments", [["--shard-size", "0"], ["--workers", "-1"], []])
def test_usage_errors(arguments, capsys):
    out = ["--out", "b.parquet"] if arguments else []
    with pytest.raises(SystemExit) as stop:
        main(["detect", "in", "m.lbw", *out, *arguments])
    assert stop.value.code == 2 and "usage: lbwdet detect" in capsys.readouterr().err
