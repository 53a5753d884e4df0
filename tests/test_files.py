import json
import os
import threading

import pytest

from lbwdet.files import atomic_write, locked, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "new folder" / "a.txt"
    write_text(path, "first ä")
    write_text(str(path), "second")
    assert path.read_text() == "second" and names(path.parent) == ["a.txt"]


def test_the_temporary_file_has_the_suffix_and_lies_beside(tmp_path):
    with atomic_write(tmp_path / "a.jpg") as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".jpg"
        assert not (tmp_path / "a.jpg").exists()
        temporary.write_bytes(b"x")
    assert names(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_files_are_as_readable_as_others(tmp_path):
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "")
    finally:
        os.umask(mask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("stem", ["ü" * 120, "a b", "-", ".hidden", "a.b.c"])
def test_odd_names(tmp_path, stem):
    write_text(tmp_path / f"{stem}.json", "{}")
    assert names(tmp_path) == [f"{stem}.json"]


def test_json_is_strict_and_ends_in_a_newline(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, dict(b=1.5, a=[None, "ä"]))
    text = path.read_text()
    assert json.loads(text) == dict(b=1.5, a=[None, "ä"]) and text.endswith("}\n")
    for value in (float("nan"), float("-inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(path, dict(b=value))
    assert path.read_text() == text and names(tmp_path) == ["a.json"]


def test_locked_lets_one_in_at_a_time(tmp_path):
    entered = threading.Event()

    def other() -> None:
        with locked(tmp_path):
            entered.set()

    thread = threading.Thread(target=other)
    with locked(tmp_path):
        thread.start()
        assert not entered.wait(0.1)
    thread.join(10)
    assert entered.is_set() and names(tmp_path) == []
