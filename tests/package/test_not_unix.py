"""The runtime on a Python without what only Unix has, as on Windows."""

import json
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

from lbwdet import files
from lbwdet.deploy.artifact_writer import artifact_bytes
from lbwdet.deploy.testing import random_image, tiny_artifact

HIDE = """
import os, runpy, sys
for name in ("fcntl", "resource", "termios", "pwd", "grp", "syslog"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "fork", "O_NOFOLLOW", "O_NONBLOCK", "getuid"):
    delattr(os, name)
"""
RUN = "runpy.run_module('lbwdet.deploy.runtime', run_name='__main__', alter_sys=True)"
IMPORT = """
import pkgutil, lbwdet.deploy.runtime as runtime
for module in pkgutil.walk_packages(runtime.__path__, 'lbwdet.deploy.runtime.'):
    if not module.name.endswith(('__main__', '_native')):  # the latter is the engine's library
        __import__(module.name)
        print(module.name)
"""


def ran(program: str, *arguments: object) -> str:
    run = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_every_module_of_the_runtime_is_imported():
    names = ran(HIDE + IMPORT).splitlines()
    assert {"lbwdet.deploy.runtime.native", "lbwdet.deploy.runtime.operations.conv"} <= {*names}


def test_it_detects_draws_and_writes(tmp_path):
    model, image = tmp_path / "model.lbw", tmp_path / "image.png"
    model.write_bytes(artifact_bytes(tiny_artifact()))
    PIL.Image.fromarray(random_image(0, 61, 97)[..., ::-1]).save(image)
    written = {}
    for name, hide in (("here", "import runpy\n"), ("there", HIDE)):
        folder = tmp_path / name
        options = ["--json", folder / "a.json", "--out", folder / "a.png", "--score-thr", "0.1"]
        printed = ran(hide + RUN, image, model, *options)
        written[name] = printed, *((folder / file).read_bytes() for file in ("a.json", "a.png"))
        assert sorted(path.name for path in folder.iterdir()) == ["a.json", "a.png"]
    assert written["here"] == written["there"]
    assert json.loads(written["there"][1])


@pytest.fixture
def no_locks(monkeypatch):
    monkeypatch.setattr(files, "HAS_LOCKS", False)
    monkeypatch.delattr(files, "fcntl")


def test_files_are_replaced_whole_without_locks(no_locks, tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(ValueError), files.atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise ValueError
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]
    with files.atomic_folder(tmp_path / "b") as folder:
        (folder / "c").touch()
        folder.rename(tmp_path / "b")
    assert (tmp_path / "b" / "c").exists() and len([*tmp_path.iterdir()]) == 2


def test_nobody_sweeps_who_cannot_know_what_is_left(no_locks, tmp_path):
    left = tmp_path / f".a-12345678{files.PART}.txt"
    left.touch()
    files.sweep(tmp_path)
    assert left.exists()


def test_a_folder_that_cannot_be_locked(no_locks, tmp_path):
    with pytest.raises(OSError, match="cannot lock a folder") as caught, files.locked(tmp_path):
        pass
    assert caught.value.filename == str(Path(tmp_path))
