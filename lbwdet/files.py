"""Writing files so that a reader never sees half of one.

On Windows, too, where nothing is locked: what a killed process left there stays.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lbwdet.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

PART = ".lbwpart"  # in the name of every temporary file and folder, and of nothing else
_swept: set[Path] = set()  # folders in which this process has looked for what others left


def check_new_file(out: str | os.PathLike[str], *sources: str | os.PathLike[str]) -> None:
    """Whether a file can be written without another's being lost, before any work.

    Args:
        out: the file to write.
        sources: files that are read; names that are none, such as URLs, are no matter.

    Raises:
        ConfigError: ``out`` is a folder or one of the sources.
    """
    target = Path(out)
    if target.is_dir():
        raise ConfigError(f"--out {target}: is a folder; name a file in it")
    for source in sources:
        if target.exists() and os.path.exists(source) and target.samefile(source):
            raise ConfigError(f"--out {target}: this is the given {source}; name another file")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that replaces it when the block succeeds.

    On an exception (a full disk, an interrupt) the temporary file is removed
    and whatever stood at ``path`` before still stands. After a power cut it is the old
    file or the new one. What a killed process left in the folder is removed.

    Raises:
        OSError: with the name of ``path``, where it cannot be written.
    """
    target = Path(path)
    with _named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(target.parent)
        handle, temporary = _claim(target)
        if not HAS_LOCKS:
            os.close(handle)  # an open file could not be replaced
    try:
        with _named(target):
            yield temporary
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)  # mkstemp makes files private
            # Which the block may have made anew; Windows flushes only what is open for writing.
            with temporary.open("rb" if HAS_LOCKS else "r+b") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        if HAS_LOCKS:
            os.close(handle)  # which also gives up the claim


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary folder beside ``path``, to be renamed to it; removed if it was not."""
    target = Path(path)
    with _named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(target.parent)
        name = tempfile.mkdtemp(prefix=f".{target.name[:32]}-", suffix=PART, dir=target.parent)
        temporary = Path(name)
        temporary.chmod(0o755)  # mkdtemp makes folders private
    try:
        with locked(temporary) if HAS_LOCKS else contextlib.nullcontext(), _named(target):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes strict JSON (NaN is refused) with a trailing newline."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str], wait: bool = True) -> Iterator[None]:
    """One process at a time, of all that lock this folder: for read, change, write.

    Raises:
        BlockingIOError: another has it, and this one does not ``wait``.
        OSError: the system has no such locks, or the file system.
    """
    if not HAS_LOCKS:
        raise OSError(errno.ENOTSUP, "this system cannot lock a folder", os.fspath(folder))
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)  # which also unlocks


def _claim(target: Path) -> tuple[int, Path]:
    """A temporary file and a lock on it, by which others see that somebody is writing it."""
    while True:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem[:32]}-", suffix=PART + target.suffix, dir=target.parent
        )
        if not HAS_LOCKS:
            return handle, Path(name)
        with contextlib.suppress(OSError):  # a file system without locks: nobody sweeps there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):
            return handle, Path(name)
        os.close(handle)  # swept by another process before it was locked


def _sweep_once(folder: Path) -> None:
    if folder in _swept:
        return
    _swept.add(folder)
    sweep(folder)


def sweep(folder: Path) -> None:
    """Removes temporary files and folders whose process is gone: nobody holds their lock."""
    if not HAS_LOCKS:
        return
    for path in folder.glob(f".*{PART}*"):
        with contextlib.suppress(OSError):  # somebody is writing it, or has just removed it
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
            finally:
                os.close(handle)


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    """Puts the file that was asked for into an OSError, which may name none or the temporary."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and PART in str(error.filename or PART):
            error.filename, error.filename2 = str(target), None
        raise
