"""The reader of Dockerfiles, on small ones, and on the project's own."""

import sys
from pathlib import Path

import pytest

from lbwdet.errors import DataError

ROOT = Path(__file__).parents[2]
DOCKERFILES = [ROOT / "docker" / "Dockerfile", ROOT / "docker" / "Dockerfile.deploy"]
TWO_STAGES = """# A comment
FROM python:3 AS build
RUN apt-get update \\
    # within a line
    && apt-get install g++

copy a.txt b.txt ./
FROM python:3
COPY --from=build /wheels /wheels
ENTRYPOINT ["python", "-m"]
"""


@pytest.fixture
def dockerfile(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docker")
    monkeypatch.delitem(sys.modules, "dockerfile", raising=False)
    import dockerfile

    yield dockerfile
    monkeypatch.delitem(sys.modules, "dockerfile", raising=False)


def test_stages_and_continued_lines(dockerfile):
    build, last = dockerfile.parse(TWO_STAGES)
    assert (build.image, build.name, last.name) == ("python:3", "build", None)
    run, copy = build.steps
    assert (run.line, run.instruction) == (3, "RUN")
    assert run.text == "apt-get update && apt-get install g++"
    assert dockerfile.Copy.of(copy) == dockerfile.Copy(None, ["a.txt", "b.txt"], "./")
    assert dockerfile.Copy.of(last.steps[0]) == dockerfile.Copy("build", ["wheels"], "/wheels")
    assert last.steps[1].words() == ["python", "-m"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no FROM"),
        ("RUN true\nFROM a", "line 1: RUN before the first FROM"),
        ("FROM a b", r"line 1: FROM a b: give FROM IMAGE \[AS NAME\]"),
        ("FROM a\nHEALTHCHECK NONE", "line 2: HEALTHCHECK is not understood"),
        ("FROM a\nRUN true \\", "line 2: the last line .* backslash"),
    ],
)
def test_what_is_not_understood_is_said(dockerfile, text, message):
    with pytest.raises(DataError, match=message):
        dockerfile.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("COPY a", r"give \[--from=STAGE\] SOURCE"),
        ("COPY --chown=1 a b", "give"),
        ("COPY a b c", "several sources: end c with a slash"),
    ],
)
def test_of_copies_too(dockerfile, text, message):
    ((step,),) = (stage.steps for stage in dockerfile.parse(f"FROM a\n{text}"))
    with pytest.raises(DataError, match=message):
        dockerfile.Copy.of(step)


def test_an_entrypoint_is_a_list(dockerfile):
    ((step,),) = (stage.steps for stage in dockerfile.parse("FROM a\nENTRYPOINT python -m"))
    with pytest.raises(DataError, match="line 2: ENTRYPOINT python -m: give a list"):
        step.words()


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        (".git", True),
        (".git/config", True),
        ("data", True),
        ("lbwdet/data", False),
        ("a.so", True),
        ("lbwdet/deploy/a.so", True),
        ("lbwdet/deploy/a.sox", False),
        ("lbwdet/__pycache__/a.pyc", True),
    ],
)
def test_what_is_left_out(dockerfile, path, left_out):
    assert dockerfile.ignored([".git", "data", "**/*.so", "**/__pycache__"], path) is left_out


def test_lines_of_dockerignore(dockerfile, tmp_path):
    assert dockerfile.read_ignore(tmp_path) == []
    (tmp_path / ".dockerignore").write_text("# comment\n\n/data/\n**/*.so\n")
    assert dockerfile.read_ignore(tmp_path) == ["data", "**/*.so"]
    (tmp_path / ".dockerignore").write_text("*\n!lbwdet\n")
    with pytest.raises(DataError, match="!lbwdet: exceptions are not understood"):
        dockerfile.read_ignore(tmp_path)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_everything_that_the_projects_own_copy_is_there(dockerfile, path):
    patterns = dockerfile.read_ignore(ROOT)
    steps = [step for stage in dockerfile.parse(path.read_text()) for step in stage.steps]
    copies = [dockerfile.Copy.of(step) for step in steps if step.instruction == "COPY"]
    sources = [source for copy in copies if copy.stage is None for source in copy.sources]
    assert {"constraints.txt", "lbwdet"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists() and not dockerfile.ignored(patterns, source), source


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_gets_what_the_package_is_made_from(dockerfile, path):
    first = dockerfile.parse(path.read_text())[0]
    sources = {
        source
        for step in first.steps
        if step.instruction == "COPY"
        for source in dockerfile.Copy.of(step).sources
    }
    # pyproject.toml names these, and pip fails, or leaves the engine out, without them.
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE"} <= sources
