"""The steps of a stage on a folder, with the machine's own shell in the place of a chroot's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbwdet.errors import DataError

FOLDER = Path(__file__).parents[2] / "docker"
TEXT = """FROM python:3
ARG GREETING
ARG ENDING=!
WORKDIR /app
COPY sub sub
COPY one.txt two.txt ./
COPY --from=earlier /wheel /else/where
RUN printf "$GREETING$ENDING" > greeting && rm one.txt
ENTRYPOINT ["cat"]
CMD ["greeting"]
"""


@pytest.fixture
def layers(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    for name in ("dockerfile", "layers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import layers

    yield layers
    for name in ("dockerfile", "layers"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def context(tmp_path):
    context = tmp_path / "context"
    (context / "sub" / "cache").mkdir(parents=True)
    (context / ".dockerignore").write_text("**/cache\nsecret.txt\n")
    files = ("sub/kept.txt", "sub/cache/left.txt", "one.txt", "two.txt", "secret.txt")
    for name in files:
        (context / name).write_text("x" * 10)
    return context


def shell(root, words, workdir, environment):
    return subprocess.run(
        words,
        cwd=root / workdir.lstrip("/"),
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def build(layers, text, tmp_path, context, **arguments):
    root, earlier = tmp_path / "root", tmp_path / "earlier"
    root.mkdir()
    earlier.mkdir()
    (earlier / "wheel").write_text("w" * 7)
    stage = sys.modules["dockerfile"].parse(text)[-1]
    return layers.build(stage, root, context, {"earlier": earlier}, shell, arguments)


def test_files_and_bytes_of_every_step(layers, tmp_path, context):
    built = build(layers, TEXT, tmp_path, context, GREETING="hello")
    found = {str(path.relative_to(built.root)) for path in built.root.rglob("*") if path.is_file()}
    assert found == {"app/sub/kept.txt", "app/two.txt", "app/greeting", "else/where"}
    assert (built.root / "app" / "greeting").read_text() == "hello!"
    assert built.workdir == "/app" and built.entrypoint + built.command == ["cat", "greeting"]
    sizes = [(step["instruction"].split()[0], step["layer_bytes"]) for step in built.steps]
    assert sizes == [("WORKDIR", 0), ("COPY", 10), ("COPY", 20), ("COPY", 7), ("RUN", 6)]
    # What the last step removed is still in the layer below it.
    assert (built.steps[-1]["bytes_before"], built.steps[-1]["bytes_after"]) == (37, 33)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RUN echo oh no; exit 3", "line 2: RUN echo oh no; exit 3: exit 3\noh no"),
        ('RUN ["true"]', "line 2: RUN with a list"),
        ("COPY three.txt ./", "line 2: COPY three.txt: not in .*context"),
        ("COPY secret.txt ./", "line 2: COPY secret.txt: .* left out there"),
        ("COPY --from=later /a /a", "line 2: COPY --from=later: no stage before it"),
    ],
)
def test_a_step_that_fails(layers, tmp_path, context, line, message):
    with pytest.raises(DataError, match=message):
        build(layers, f"FROM python:3\n{line}", tmp_path, context)


def test_a_changed_file_is_in_the_layer_whole_and_links_count_once(layers, tmp_path):
    path = tmp_path / "a"
    path.write_text("x" * 100)
    os.link(path, tmp_path / "b")
    os.symlink(path, tmp_path / "c")
    before = layers.files_of(tmp_path)
    assert layers.total(before) == 100 and layers.layer_bytes(before, before) == 0
    with path.open("a") as file:
        file.write("y")
    assert layers.layer_bytes(before, layers.files_of(tmp_path)) == 101
