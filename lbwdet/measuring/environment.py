"""Where a measurement was made: which commit, which CPU."""

import platform
import re
import subprocess
from pathlib import Path

from lbwdet.deploy.runtime.native import available_threads

PACKAGE = Path(__file__).resolve().parents[1]


def commit(package: Path = PACKAGE) -> str | None:
    """The git commit of the running code, with ``-dirty`` after it if files were changed.

    None where the code is not tracked by git: installed from a wheel, or not
    committed yet.
    """
    tracked = _git(package, "ls-files", "--error-unmatch", "__init__.py")
    if tracked is None:
        return None
    return _git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def gpu_name() -> str | None:
    """The model name of the GPU that MMEngine trains on; None where there is none."""
    import torch  # which those that ask for the CPU alone need not have

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model name, as the system gives it."""
    with_name = re.compile(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", re.MULTILINE)
    try:
        match = with_name.search(cpuinfo.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or platform.machine() or "unknown"


# Of this process: a container may see fewer than the machine has.
available_cpus = available_threads
