"""What surrounds the steps: stages, sizes, containers, refusals; without root, and no chroot."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lbwdet.errors import DataError

FOLDER = Path(__file__).parents[2] / "docker"
NAMES = ("dockerfile", "layers", "try_in_chroot")
TEXT = """FROM python:3.11-slim-bookworm AS build
RUN printf 12345 > wheel
FROM python:3.11-slim-bookworm
COPY --from=build /wheel /kept
RUN printf 123 > more
ENTRYPOINT ["cat"]
"""


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import try_in_chroot

    yield try_in_chroot
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)


class InFolder:
    """Runs in the root's folder what a chroot would run there."""

    def __call__(self, root, words, workdir, environment):
        return subprocess.run(
            words, cwd=root, capture_output=True, text=True, check=False, env=dict(environment)
        )

    def container(self, built, words):
        return self(built.root, [*built.entrypoint, *words], "/", {})


@pytest.fixture
def roots(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "python").write_text("x" * 1000)
    return tmp_path


def test_stages_sizes_and_containers(script, roots, capsys):
    path = roots / "Dockerfile"
    path.write_text(TEXT)
    result = script.try_out(path, roots, InFolder(), ["kept more"], {})
    assert result["base_bytes"] == 1000
    sizes = [(step["layer_bytes"], step["kept"]) for step in result["steps"]]
    assert sizes == [(5, False), (5, True), (3, True)]
    assert result["image_bytes"] == 1008  # the first stage's own layers stay behind
    (container,) = result["containers"]
    assert (container["command"], container["last_line"]) == ("kept more", "12345123")
    assert "RUN printf 123" in capsys.readouterr().out


def test_a_container_that_fails(script, roots):
    path = roots / "Dockerfile"
    path.write_text(TEXT)
    with pytest.raises(DataError, match="cat nothing: exit 1"):
        script.try_out(path, roots, InFolder(), ["nothing"], {})


def test_another_image_has_no_stand_in(script, roots):
    path = roots / "Dockerfile"
    path.write_text("FROM alpine\nRUN true\n")
    with pytest.raises(DataError, match=r"FROM alpine: only python:3\.11-slim-bookworm"):
        script.try_out(path, roots, InFolder(), [], {})


def test_a_folder_that_is_there_is_left_alone(script, roots, monkeypatch):
    monkeypatch.setattr(script.os, "geteuid", lambda: 0)
    monkeypatch.setattr(script.shutil, "which", lambda name: f"/sbin/{name}")
    monkeypatch.setattr("sys.argv", ["try_in_chroot.py", "Dockerfile", "--root", str(roots)])
    with pytest.raises(DataError, match="there already; give another --root"):
        script.main()
    assert (roots / "base" / "python").is_file()


def test_nobody_but_root(script, monkeypatch):
    monkeypatch.setattr(script.os, "geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", ["try_in_chroot.py", "Dockerfile"])
    with pytest.raises(DataError, match="apt-get install debootstrap"):
        script.main()


def test_results_are_added_to_those_of_other_images(script, tmp_path, monkeypatch):
    out = tmp_path / "docker.json"
    out.write_text(json.dumps(dict(study="docker", images=dict(Other=1))))
    monkeypatch.setattr(script.os, "geteuid", lambda: 0)
    monkeypatch.setattr(script.shutil, "which", lambda name: f"/sbin/{name}")
    monkeypatch.setattr(script, "try_out", lambda *_: dict(steps=[]))
    line = ["try_in_chroot.py", "docker/Dockerfile", "--root", str(tmp_path / "new")]
    monkeypatch.setattr("sys.argv", [*line, "--out", str(out)])
    script.main()
    images = dict(Dockerfile=dict(steps=[]), Other=1)
    assert json.loads(out.read_text()) == dict(study="docker", images=images)
    assert not (tmp_path / "new").exists()
