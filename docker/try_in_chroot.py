"""Carries out a Dockerfile where no Docker is: its own steps, by chroot in a Debian bookworm.

Debian's Python 3.11, in a virtual environment at /usr/local, stands for the image
python:3.11-slim-bookworm; pip is that of Debian. What a layer holds is counted as Docker counts it:
files that are new or changed. Needs root, debootstrap and some GB in --root, which are removed at
the end.

Example:
    python docker/try_in_chroot.py docker/Dockerfile.deploy --volume photographs:/work \\
        --run "image.jpg model.lbw --out found.jpg" --out docs/results/docker.json
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from dockerfile import parse
from layers import LAST_LINES, PRINCIPAL, Built, build, files_of, total

from lbwdet.errors import DataError
from lbwdet.files import write_json
from lbwdet.measuring.environment import commit, cpu_name
from lbwdet.terminal import run_command

IMAGE = "python:3.11-slim-bookworm"
PACKAGES = "ca-certificates,python3,python3-venv"
CONTEXT = Path(__file__).resolve().parents[1]
# Docker gives a container these two of the machine's own.
NETWORK = ("/etc/hosts", "/etc/resolv.conf")
# What a machine's network asks of pip and apt, and of nobody else.
PASSED = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_", "REQUESTS_CA_BUNDLE")


class Chroot:
    """Runs commands in a root, in namespaces of their own: mounts and processes end with them.

    Args:
        binds: paths of this machine that are seen at the same place in the root.
        volumes: folders of this machine to paths in the root, for containers.
    """

    def __init__(self, binds: Sequence[Path], volumes: Mapping[Path, str]) -> None:
        self._binds = {path: str(path) for path in (*map(Path, NETWORK), *binds)}
        self._volumes = dict(volumes)

    def __call__(
        self, root: Path, words: Sequence[str], workdir: str, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return self._execute(root, words, workdir, _network() | dict(environment), self._binds)

    def container(self, built: Built, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """What ``docker run -v ... IMAGE words`` would do."""
        line = [*built.entrypoint, *(words or built.command)]
        return self._execute(built.root, line, built.workdir, {}, self._volumes)

    def _execute(
        self,
        root: Path,
        words: Sequence[str],
        workdir: str,
        environment: Mapping[str, str],
        mounts: Mapping[Path, str],
    ) -> subprocess.CompletedProcess[str]:
        lines = [f"mount -t proc proc {shlex.quote(str(root / 'proc'))}"]
        lines += [f"mount --rbind /dev {shlex.quote(str(root / 'dev'))}"]
        for source, place in mounts.items():
            target = root / place.lstrip("/")
            if source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            lines.append(f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(target))}")
        variables = dict(PATH=PRINCIPAL, HOME="/root", LANG="C.UTF-8") | dict(environment)
        inside = f"cd {shlex.quote(workdir)} && exec {shlex.join(words)}"
        pairs = [f"{name}={value}" for name, value in variables.items()]
        command = ["chroot", str(root), "env", "-i", *pairs, "/bin/sh", "-c", inside]
        lines.append(f"exec {shlex.join(command)}")
        return _run(["unshare", "--mount", "--pid", "--fork", "sh", "-ec", "\n".join(lines)])


def _network() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.upper().startswith(PASSED)}


def make_base(root: Path, mirror: str | None, execute: Chroot) -> None:
    """Debian with Python, for the image that the Dockerfiles start from."""
    line = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)]
    _done("debootstrap", _run([*line, *([mirror] if mirror else [])]))
    clean = "python3 -m venv /usr/local && apt-get clean && rm -rf /var/lib/apt/lists/*"
    _done("the base", execute(root, ["/bin/sh", "-c", clean], "/", {}))


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def _done(what: str, process: subprocess.CompletedProcess[str]) -> None:
    if process.returncode:
        last = "\n".join(process.stdout.splitlines()[-LAST_LINES:])
        raise DataError(f"{what}: exit {process.returncode}\n{last}")


def try_out(
    dockerfile: Path,
    roots: Path,
    chroot: Chroot,
    commands: Sequence[str],
    arguments: Mapping[str, str],
    mirror: str | None = None,
) -> dict[str, Any]:
    """Builds the image of a Dockerfile, and runs containers of it.

    Args:
        dockerfile: whose steps are carried out.
        roots: folder for the roots of its stages.
        chroot: how commands are run.
        commands: of each container what follows the image's name, as a shell would read it.
        arguments: values of ``ARG``.
        mirror: of Debian; None: debootstrap's own.

    Returns:
        The sizes and times of the steps, and of the containers.

    Raises:
        DataError: a step or a container failed.
    """
    stages = parse(dockerfile.read_text())
    if others := {stage.image for stage in stages} - {IMAGE}:
        raise DataError(f"{dockerfile}: FROM {others.pop()}: only {IMAGE} has a stand-in here")
    base = roots / "base"
    if not base.exists():
        make_base(base, mirror, chroot)
    made: dict[str, Path] = {}
    steps: list[dict[str, Any]] = []
    for number, stage in enumerate(stages):
        root = roots / f"stage{number}"
        _done("copying the base", _run(["cp", "-a", str(base), str(root)]))
        print(f"FROM {stage.image}", flush=True)
        built = build(stage, root, CONTEXT, made, chroot, arguments)
        made[stage.name or str(number)] = root
        kept = stage is stages[-1]  # of the others, the image has what it copies
        steps += [step | dict(kept=kept) for step in built.steps]
    containers = []
    for command in commands:
        began = time.monotonic()
        done = chroot.container(built, shlex.split(command))
        _done(f"{shlex.join(built.entrypoint)} {command}", done)
        seconds = round(time.monotonic() - began, 1)
        last = (done.stdout.strip().splitlines() or [""])[-1]
        containers.append(dict(command=command, seconds=seconds, last_line=last))
        print(f"{seconds:7.1f} s  {command}: {last}", flush=True)
    base_bytes = total(files_of(base))
    return dict(
        base_bytes=base_bytes,
        image_bytes=base_bytes + sum(step["layer_bytes"] for step in built.steps),
        steps=steps,
        containers=containers,
        cpu=cpu_name(),
        commit=commit(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    add = parser.add_argument
    add("dockerfile", type=Path)
    add("--run", action="append", default=[], metavar="ARGUMENTS", help="then, of a container")
    add("--volume", action="append", default=[], metavar="FOLDER:PLACE", help="of containers")
    add("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="of ARG")
    add(
        "--bind",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="of this machine, seen there by the steps: certificates, wheels",
    )
    add("--mirror", help="of Debian [debootstrap's]")
    add("--root", type=Path, default=Path("work_dirs/chroot"), help="[%(default)s]")
    add("--out", type=Path, metavar="FILE.json", help="sizes and times are added to it")
    args = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise DataError("chroot needs root, and debootstrap: apt-get install debootstrap")
    volumes = [volume.partition(":")[::2] for volume in args.volume]
    chroot = Chroot(
        [path.resolve() for path in args.bind],
        {Path(folder).resolve(): place for folder, place in volumes},
    )
    arguments = dict(argument.split("=", 1) for argument in args.build_arg)
    roots = args.root.resolve()
    if roots.exists():
        raise DataError(f"{roots}: there already; give another --root, which is removed at the end")
    roots.mkdir(parents=True)
    try:
        result = try_out(args.dockerfile, roots, chroot, args.run, arguments, args.mirror)
    finally:
        shutil.rmtree(roots)
    if args.out is not None:
        content = json.loads(args.out.read_text()) if args.out.is_file() else {}
        images = content.get("images", {}) | {args.dockerfile.name: result}
        write_json(args.out, dict(study="docker", images=dict(sorted(images.items()))))


if __name__ == "__main__":
    sys.exit(run_command(main))
