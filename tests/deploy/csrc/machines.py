"""Other machines: compilers for them, and what runs their programs on this one."""

import importlib.util
import shutil
import sys
from dataclasses import dataclass

from tests.deploy.csrc.build import CACHE, FLAGS, Compiler


@dataclass(frozen=True)
class Machine:
    """Another machine, in an emulator.

    Attributes:
        compiler: for it; None: there is none here.
        emulator: what is put before a program of that machine; empty: there is none here.
        lacking: what to install.
    """

    compiler: Compiler | None
    emulator: tuple[str, ...]
    lacking: str


def zig(target: str) -> Compiler | None:
    """The compiler of the package ``ziglang`` for a processor and a system."""
    if importlib.util.find_spec("ziglang") is None:
        return None
    command = (sys.executable, "-m", "ziglang", "c++", "-target", target)
    # Of itself, zig looks for undefined arithmetic. All code of Windows may lie anywhere.
    flags = [flag for flag in FLAGS if flag != "-fPIC" or "windows" not in target]
    return Compiler(command, (*flags, "-fno-sanitize=undefined"))


def _arm() -> Machine:
    compiler, found = zig("aarch64-linux-musl"), shutil.which("aarch64-linux-gnu-g++")
    if found is not None:
        compiler = Compiler((found,), (*FLAGS, "-static"))
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    return Machine(
        compiler,
        (emulator, "-cpu", "max") if emulator is not None else (),
        "Debian's g++-aarch64-linux-gnu (or ziglang) and qemu-user-static",
    )


def _windows() -> Machine:
    found = shutil.which("wine64") or shutil.which("wine")
    folder = CACHE.with_name("wine")  # in the place of one in the user's home
    quiet = ("WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree=;mshtml=;winemenubuilder.exe=")
    emulator = ("env", f"WINEPREFIX={folder}", *quiet, found) if found is not None else ()
    return Machine(zig("x86_64-windows-gnu"), emulator, "ziglang, and Debian's wine")


MACHINES = {"arm": _arm(), "windows": _windows()}
