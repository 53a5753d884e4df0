"""Some hundred mutants of what ``make fuzz`` tries for minutes, always the same ones."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from lbwdet import images

FOLDER = Path(__file__).parents[2] / "benchmarks" / "fuzz"


@pytest.fixture(scope="module")
def readers():
    spec = importlib.util.spec_from_file_location("fuzz_readers", FOLDER / "readers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_sound_files_are_read(readers, tmp_path):
    for kind, files in readers.seeds().items():
        for content in files:
            (tmp_path / "a").write_bytes(content)
            turned_tiff = content[:4] in (b"II*\0", b"MM\0*")  # which OpenCV does not read
            for reader in readers.readers()[kind][: 2 if turned_tiff else None]:
                reader(tmp_path / "a")


def test_damaged_files_are_read_or_refused(readers, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", readers.MOST_PIXELS)
    counts = readers.fuzz(seed=1, count=300, path=tmp_path / "a")
    for kind in ("image", "annotation", "list", "checkpoint"):
        assert counts[f"{kind} read"] and counts[f"{kind} refused"]


def test_a_fault_is_found_and_kept(readers, tmp_path, monkeypatch, capsys):
    def faulty(path):
        raise ZeroDivisionError("of the reader")

    kinds = {kind: [faulty] for kind in readers.seeds()}
    monkeypatch.setattr(readers, "readers", lambda: kinds)
    assert readers.main(["--seconds", "0.1", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "ZeroDivisionError: of the reader" in printed and re.search(r", [1-9] faults", printed)
    assert list(tmp_path.glob("found-*"))
