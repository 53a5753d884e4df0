"""Other machines: compilers for them, and what runs their programs on this one."""

import importlib.util
import shutil
import sys

from tests.deploy.csrc.build import FLAGS, Compiler

HAS_ZIG = importlib.util.find_spec("ziglang") is not None  # a compiler as a package of PyPI
ARM_COMPILER = shutil.which("aarch64-linux-gnu-g++")  # Debian's
ARM_EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


def zig(target: str) -> Compiler:
    """The compiler of the package ``ziglang`` for a processor and a system."""
    # All code of Windows may lie anywhere; unasked, zig looks for undefined arithmetic.
    flags = [flag for flag in FLAGS if flag != "-fPIC" or "windows" not in target]
    command = (sys.executable, "-m", "ziglang", "c++", "-target", target)
    return Compiler(command, (*flags, "-fno-sanitize=undefined"))


def arm() -> Compiler | None:
    """For programs of 64-bit ARM that need no library of that machine; None: there is none."""
    if ARM_COMPILER is not None:
        return Compiler((ARM_COMPILER,), (*FLAGS, "-static"))
    return zig("aarch64-linux-musl") if HAS_ZIG else None
