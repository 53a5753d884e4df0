"""Compiles the native engine for tests: with other flags, or with other C++ files beside its own.

Objects and what is linked from them lie in ``build/csrc`` of the repository under names made from
all that they depend on, so that what has not changed is not compiled again.
"""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
CSRC = REPOSITORY / "lbwdet" / "deploy" / "csrc"
CACHE = REPOSITORY / "build" / "csrc"
COMPILER = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")

FLAGS = ("-std=c++17", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC", "-pthread")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
QUICK = ("-O2",)
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_KEPT_SECONDS = 7 * 24 * 3600  # what nobody used for so long is deleted


def library(*extra: Path, flags: Sequence[str] = QUICK) -> Path:
    """The whole engine and the ``extra`` C++ files as a shared library.

    An extra file is an operation, say, that includes ``"operation.h"``.
    """
    sources = [source for room in _rooms() for source in _sources(room)] + [CSRC / "lbw.cpp"]
    return _linked([*sources, *extra], [*flags, "-shared"], flags, ".so")


def program(main: Path, rooms: Sequence[str], flags: Sequence[str] = QUICK) -> Path:
    """A program of ``main`` and the files of some folders of the engine's."""
    return _linked([*(s for room in rooms for s in _sources(room)), main], flags, flags, "")


def sanitizer_environment() -> dict[str, str] | None:
    """For a Python that is to load a sanitized library; None if the compiler has none."""
    printed = [
        subprocess.run([COMPILER, f"-print-file-name={name}"], capture_output=True, text=True)
        for name in ("libasan.so", "libubsan.so", "libstdc++.so")
    ]
    paths = [result.stdout.strip() for result in printed]
    if not all(Path(path).is_absolute() for path in paths):
        return None
    # Python itself does not free everything at its end.
    return {"LD_PRELOAD": " ".join(paths), "ASAN_OPTIONS": "detect_leaks=0"}


def _rooms() -> list[str]:
    return sorted({*(path.parent.name for path in CSRC.glob("*/*.cpp"))} - {"tests", "bench"})


def _sources(room: str) -> list[Path]:
    return sorted((CSRC / room).glob("*.cpp"))


def _linked(
    sources: list[Path], link_flags: Sequence[str], flags: Sequence[str], suffix: str
) -> Path:
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(lambda source: _object(source, tuple(flags)), sources))
    name = _hash(*link_flags, *(path.name for path in objects))
    return _made(name + suffix, [*FLAGS, *link_flags, *map(str, objects)])


def _object(source: Path, flags: tuple[str, ...]) -> Path:
    arguments = [*FLAGS, *WARNINGS, *flags, f"-I{CSRC / 'operations'}", "-c", str(source)]
    name = _hash(_compiler(), _headers(), *arguments, source.read_text())
    return _made(f"{source.stem}-{name}.o", arguments)


def _made(name: str, arguments: Sequence[str]) -> Path:
    """The file of this name, made by the compiler with these arguments if it is not there."""
    target = CACHE / name
    if target.exists():
        target.touch()
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.iterdir():
        if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
            old.unlink(missing_ok=True)
    unfinished = target.with_name(f"{name}.{os.getpid()}")  # others may make it, too
    command = [str(COMPILER), *arguments, "-o", str(unfinished)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    unfinished.replace(target)
    return target


@cache
def _compiler() -> str:
    assert COMPILER is not None, "no C++ compiler"
    return subprocess.run([COMPILER, "--version"], capture_output=True, text=True).stdout


@cache
def _headers() -> str:
    paths = (path for pattern in ("*.h", "*.inl") for path in CSRC.rglob(pattern))
    return "".join(f"{path}{path.read_text()}" for path in sorted(paths))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
