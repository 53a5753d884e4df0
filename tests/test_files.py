import errno
import json
import os
import subprocess
import sys
import threading

import pytest

from lbwdet.errors import ConfigError
from lbwdet.files import (
    atomic_folder,
    atomic_write,
    check_new_file,
    locked,
    write_json,
    write_text,
)


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


KILLED = """
import os, sys
from lbwdet.files import atomic_folder, atomic_write
with atomic_folder(sys.argv[1] + "/folder") as folder, atomic_write(sys.argv[1] + "/a.txt") as path:
    path.write_text("half")
    (folder / "b.txt").write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    (tmp_path / ".mine-12345678.txt").touch()  # nobody's temporary file
    run = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)])
    assert run.returncode == -9 and len(names(tmp_path)) == 3
    write_text(tmp_path / "b.txt", "")
    assert names(tmp_path) == [".mine-12345678.txt", "b.txt"]


def test_what_another_process_is_writing_stays(tmp_path):
    with atomic_write(tmp_path / "a.txt") as first, atomic_folder(tmp_path / "b") as folder:
        program = f"from lbwdet.files import write_text; write_text({str(tmp_path / 'c')!r}, '')"
        subprocess.run([sys.executable, "-c", program], check=True)
        assert folder.is_dir()
        first.write_text("whole")
    assert names(tmp_path) == ["a.txt", "c"] and (tmp_path / "a.txt").read_text() == "whole"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with atomic_folder(tmp_path / "new" / "a") as scratch:
        (scratch / "x").touch()
        scratch.rename(tmp_path / "new" / "a")
    assert names(tmp_path / "new") == ["a"] and (tmp_path / "new" / "a").stat().st_mode & 0o5
    with pytest.raises(ValueError), atomic_folder(tmp_path / "b") as scratch:
        raise ValueError
    assert names(tmp_path) == ["new"]


def test_written_before_renamed(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append(os.fstat(handle).st_size))
    write_text(tmp_path / "a.txt", "1234")
    assert calls == [4]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_an_error_names_the_file_that_was_asked_for(tmp_path, number):
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))
    assert caught.value.filename == str(tmp_path / "a.txt") and caught.value.errno == number
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "file" / "a.txt", "")
    assert caught.value.filename == str(tmp_path / "file")


def test_what_is_read_is_not_written(tmp_path):
    given, link = tmp_path / "given.pth", tmp_path / "link.pth"
    given.write_text("weights")
    link.symlink_to(given)
    check_new_file(tmp_path / "new.lbw", given, "https://example.org/weights.pth")
    for out in (given, link, tmp_path / "." / "given.pth"):
        with pytest.raises(ConfigError, match=r"this is the given .*; name another file"):
            check_new_file(out, tmp_path / "other.py", given)
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        check_new_file(tmp_path, given)
