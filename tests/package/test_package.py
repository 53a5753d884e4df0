"""What ``python -m build`` makes, installed where there is nothing but numpy: make package."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lbwdet import __version__

ROOT = Path(__file__).parents[2]
CHECK = Path(__file__).with_name("check_installed.py")
ENGINE = "lbwdet/deploy/runtime/_native.so"

pytestmark = pytest.mark.slow


def ran(*command: str | Path, cwd: Path, **environment: str) -> str:
    run = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """The folder that LBWDET_DIST names, or one that is built now: the wheel from the sdist."""
    if named := os.environ.get("LBWDET_DIST"):
        return Path(named)
    folder = tmp_path_factory.mktemp("dist")
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """What git knows of the package's folder."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "lbwdet"], capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return {name for name in listed.stdout.split("\0") if name}


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory) -> Path:
    """The Python of a new environment with the wheel in it, and numpy: this environment's."""
    folder = tmp_path_factory.mktemp("bare")
    ran(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(ran(python, "-I", "-c", place, cwd=folder).strip())
    numpy = importlib.metadata.distribution("numpy")
    for name in {path.parts[0] for path in numpy.files} - {".."}:  # ..: its programs
        (packages / name).symlink_to(numpy.locate_file(name))
    pip = [sys.executable, "-m", "pip", "--python", python]
    ran(*pip, "install", "--no-index", wheel, cwd=folder, PYTHONPATH="")  # else it finds the tree
    return python


def test_the_sdist_has_all_sources(dist, tracked):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked | {"LICENSE", "README.md", "pyproject.toml", "setup.py"} <= names
    assert [name for name in names if name.endswith((".so", ".dll", ".o", ".pyc"))] == []


def test_the_wheel_has_the_engine_and_no_sources_of_it(wheel, tracked):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name for name in tracked if "/csrc/" not in name} | {ENGINE}


def test_one_wheel_for_every_python(wheel):
    assert re.fullmatch(rf"lbwdet-{re.escape(__version__)}-py3-none-(?!any)\w+\.whl", wheel.name)


def test_with_numpy_alone_it_gives_the_same_bytes(bare, tmp_path):
    found = ran(bare, "-I", CHECK, cwd=tmp_path).splitlines()
    here = ran(sys.executable, CHECK, cwd=tmp_path, PYTHONPATH=str(ROOT)).splitlines()
    assert found[0].startswith(f"package: {bare.parents[1]}") and found[1] == "others here: numpy"
    assert here[0] == f"package: {ROOT / 'lbwdet'}"
    assert found[2:] == here[2:] and found[-1].startswith("checksum: ")
    assert int(found[-2].removeprefix("detections: ")) > 0


def test_what_needs_more_says_so(bare, tmp_path):
    run = subprocess.run(
        [bare.with_name("lbwdet"), "train", "a.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 2
    assert re.search(r"^error: .*pip install 'lbwdet\[train\]'", run.stderr), run.stderr
