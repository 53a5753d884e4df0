"""The steps of one stage, carried out on a folder that stands for the image's root."""

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockerfile import Copy, Stage, Step, ignored, read_ignore

from lbwdet.errors import DataError

SHOWN = 160  # letters of an instruction in what is printed and written
LAST_LINES = 25  # of a command that failed
PRINCIPAL = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"  # PATH in the image

# Runs words in a root, from a working directory there, with some environment.
Execute = Callable[[Path, Sequence[str], str, Mapping[str, str]], subprocess.CompletedProcess[str]]
Files = dict[str, tuple[int, int, int]]


def files_of(root: Path) -> Files:
    """Every regular file of a root, with what tells whether it is the same as before.

    Names that share one file (hard links) count once.
    """
    found: Files = {}
    seen: set[int] = set()
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            if stat.S_ISREG(about.st_mode) and about.st_ino not in seen:
                seen.add(about.st_ino)
                found[path] = (about.st_size, about.st_ino, about.st_ctime_ns)
    return found


def total(files: Files) -> int:
    """Bytes."""
    return sum(size for size, _, _ in files.values())


def layer_bytes(before: Files, after: Files) -> int:
    """What a layer holds: files that are new or changed. What it removes stays in those below."""
    return sum(about[0] for path, about in after.items() if before.get(path) != about)


@dataclass
class Built:
    """A stage whose steps were carried out.

    Attributes:
        root: the image's files.
        workdir: where a container starts.
        entrypoint, command: ``ENTRYPOINT`` and ``CMD``.
        steps: of each step that made a layer ``instruction``, ``seconds``, ``bytes_before``,
            ``bytes_after`` and ``layer_bytes``.
    """

    root: Path
    workdir: str
    entrypoint: list[str]
    command: list[str]
    steps: list[dict[str, Any]]


def build(
    stage: Stage,
    root: Path,
    context: Path,
    stages: Mapping[str, Path],
    execute: Execute,
    arguments: Mapping[str, str],
) -> Built:
    """Carries out the steps of a stage.

    Args:
        stage: from the Dockerfile.
        root: holds the files of the image that it starts from.
        context: the folder that ``COPY`` takes from, but for what its .dockerignore names.
        stages: names of earlier stages to their roots.
        execute: how a command is run in the root.
        arguments: values of ``ARG``.

    Raises:
        DataError: a step failed.
    """
    built = Built(root, "/", [], [], [])
    environment: dict[str, str] = {}
    files = files_of(root)
    for step in stage.steps:
        if step.instruction == "ENTRYPOINT":
            built.entrypoint = step.words()
        elif step.instruction == "CMD":
            built.command = step.words()
        elif step.instruction == "ARG":
            name, _, default = step.text.partition("=")
            if value := arguments.get(name, default):
                environment[name] = value
        else:
            began = time.monotonic()
            if step.instruction == "WORKDIR":
                built.workdir = os.path.join(built.workdir, step.text)
                _inside(root, built.workdir, "/").mkdir(parents=True, exist_ok=True)
            elif step.instruction == "COPY":
                _copy(step, built, context, stages)
            else:
                _run(step, built, execute, environment)
            seconds, before, files = time.monotonic() - began, files, files_of(root)
            sizes = dict(
                bytes_before=total(before),
                bytes_after=total(files),
                layer_bytes=layer_bytes(before, files),
            )
            text = f"{step.instruction} {step.text}"[:SHOWN]
            built.steps.append(dict(instruction=text, seconds=round(seconds, 1)) | sizes)
            print(f"{seconds:7.1f} s {sizes['layer_bytes'] / 1e6:+9.1f} MB  {text}", flush=True)
    return built


def _run(step: Step, built: Built, execute: Execute, environment: Mapping[str, str]) -> None:
    if step.text.startswith("["):
        raise DataError(f"line {step.line}: RUN with a list is not understood, only a shell's line")
    done = execute(built.root, ["/bin/sh", "-c", step.text], built.workdir, environment)
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-LAST_LINES:])
        raise DataError(f"line {step.line}: RUN {step.text}: exit {done.returncode}\n{last}")


def _copy(step: Step, built: Built, context: Path, stages: Mapping[str, Path]) -> None:
    copy = Copy.of(step)
    if copy.stage is not None and copy.stage not in stages:
        raise DataError(
            f"line {step.line}: COPY --from={copy.stage}: no stage before it has that name"
        )
    base = context if copy.stage is None else stages[copy.stage]
    patterns = read_ignore(context) if copy.stage is None else []
    target = _inside(built.root, copy.target, built.workdir)
    for name in copy.sources:
        source = base / name
        if not source.exists() or ignored(patterns, name):
            raise DataError(f"line {step.line}: COPY {name}: not in {base}, or left out there")
        if source.is_dir():
            shutil.copytree(source, target, ignore=_ignore(base, patterns), dirs_exist_ok=True)
        elif copy.target.endswith("/") or target.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / source.name)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _inside(root: Path, path: str, workdir: str) -> Path:
    """A path of the image, as one of this machine."""
    return root / os.path.normpath(os.path.join(workdir, path)).lstrip("/")


def _ignore(base: Path, patterns: list[str]) -> Callable[[str, list[str]], list[str]]:
    def left_out(folder: str, names: list[str]) -> list[str]:
        place = Path(folder).relative_to(base)
        return [name for name in names if ignored(patterns, str(place / name))]

    return left_out
