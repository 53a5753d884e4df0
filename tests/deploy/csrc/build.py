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
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lbwdet.deploy.runtime.native import NativeError, instruction_sets
from lbwdet.files import locked

REPOSITORY = Path(__file__).resolve().parents[3]
CSRC = REPOSITORY / "lbwdet" / "deploy" / "csrc"
CACHE = REPOSITORY / "build" / "csrc"
INSTALLED = REPOSITORY / "build" / "objects"  # what setup.py has compiled, with -O3
COMPILER = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")

FLAGS = ("-std=c++17", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC", "-pthread")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
QUICK = ("-O2",)
SANITIZED = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_KEPT_SECONDS = 7 * 24 * 3600  # what nobody used for so long is deleted


@dataclass(frozen=True)
class Compiler:
    """How a compiler is called.

    Attributes:
        command: the program, and for which machine it is to compile.
        flags: that go with every call.
    """

    command: tuple[str, ...]
    flags: tuple[str, ...] = FLAGS


HERE = Compiler((str(COMPILER),))


def library(*extra: Path, flags: Sequence[str] = QUICK, compiler: Compiler = HERE) -> Path:
    """The whole engine and the ``extra`` C++ files as a shared library.

    An extra file is an operation, say, that includes ``"operation.h"``.
    """
    return _linked([*_engine(), *extra], [*flags, "-shared"], flags, ".so", compiler)


def program(
    main: Path,
    rooms: Sequence[str] | None = None,
    flags: Sequence[str] = QUICK,
    compiler: Compiler = HERE,
) -> Path:
    """A program of ``main`` and the engine, or the files of some of its folders."""
    sources = _engine() if rooms is None else [s for room in rooms for s in _sources(room)]
    return _linked([*sources, main], flags, flags, "", compiler)


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


def _engine() -> list[Path]:
    rooms = sorted({*(path.parent.name for path in CSRC.glob("*/*.cpp"))} - {"tests", "bench"})
    return [source for room in rooms for source in _sources(room)] + [CSRC / "lbw.cpp"]


def _sources(room: str) -> list[Path]:
    return sorted((CSRC / room).glob("*.cpp"))


def _linked(
    sources: list[Path],
    link_flags: Sequence[str],
    flags: Sequence[str],
    suffix: str,
    compiler: Compiler,
) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    if flags == SANITIZED:
        sources = [source for source in sources if _runs_here(source)]
    with locked(CACHE), ThreadPoolExecutor(2) as pool:  # others find what this process compiles
        _forget_the_old()
        begun = [*flags, *_precompiled(tuple(flags), compiler)]
        objects = list(pool.map(lambda source: _object(source, tuple(begun), compiler), sources))
        name = _hash(*link_flags, *map(_identity, objects))
        return _made(name + suffix, compiler, [*link_flags, *map(str, objects)])


def _precompiled(flags: tuple[str, ...], compiler: Compiler) -> list[str]:
    """Flags with which a file begins with the standard headers, read once; none of other compilers
    than GCC, which call it otherwise."""
    if "g++" not in Path(compiler.command[0]).name:
        return []
    text = (CSRC / "standard_headers.h").read_text()
    name = _hash(_version(compiler), *compiler.command, *compiler.flags, *flags, text)
    header = CACHE / f"standard-{name}.h"
    header.write_text(text)
    _made(f"{header.name}.gch", compiler, [*flags, "-x", "c++-header", str(header)])
    return ["-include", str(header), "-Winvalid-pch"]


def _identity(made: Path) -> str:
    """Names in the cache say what the file is made from."""
    return made.name if made.parent == CACHE else f"{made}{made.stat().st_mtime_ns}"


def _installed_object(source: Path) -> Path | None:
    """The engine's own, if nothing has changed since it was compiled."""
    if not source.is_relative_to(CSRC):
        return None
    made = (INSTALLED / source.relative_to(REPOSITORY)).with_suffix(".o")
    return made if made.exists() and made.stat().st_mtime > _changed() else None


@cache
def _changed() -> float:
    """When the last of the engine's files was."""
    paths = [path for path in CSRC.rglob("*") if not {"tests", "bench"} & {*path.parts}]
    return max(path.stat().st_mtime for path in [*paths, REPOSITORY / "setup.py"])


def _object(source: Path, flags: tuple[str, ...], compiler: Compiler) -> Path:
    if compiler == HERE and flags[: len(QUICK)] == QUICK and (made := _installed_object(source)):
        return made
    arguments = [*WARNINGS, *flags, f"-I{CSRC / 'operations'}", "-c", str(source)]
    called = [*compiler.command, *compiler.flags, *arguments]
    name = _hash(_version(compiler), _headers(), *called, source.read_text())
    return _made(f"{source.stem}-{name}.o", compiler, arguments)


def _made(name: str, compiler: Compiler, arguments: Sequence[str]) -> Path:
    """The file of this name, made by the compiler with these arguments if it is not there."""
    target = CACHE / name
    if target.exists():
        target.touch()
        return target
    unfinished = target.with_name(f"{name}.{os.getpid()}")  # may be interrupted
    command = [*compiler.command, *compiler.flags, *arguments, "-o", str(unfinished)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    unfinished.replace(target)
    return target


def _forget_the_old() -> None:
    for path in CACHE.iterdir():
        if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
            path.unlink(missing_ok=True)


def _runs_here(source: Path) -> bool:
    """Not what is of an instruction set that this CPU lacks: half a minute, and no line runs."""
    return source.parent.name != "isa" or _instruction_sets().get(source.stem, True)


@cache
def _instruction_sets() -> dict[str, bool]:
    try:
        return instruction_sets()
    except NativeError:
        return {}


@cache
def _version(compiler: Compiler) -> str:
    command = [*compiler.command, "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@cache
def _headers() -> str:
    paths = (path for pattern in ("*.h", "*.inl") for path in CSRC.rglob(pattern))
    return "".join(f"{path}{path.read_text()}" for path in sorted(paths))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
