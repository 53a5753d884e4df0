"""A function in a process of its own, which may crash, hang or eat memory."""

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import torch

from lbwdet.studies.zoo.shipped import config_root

Report = Callable[[str, Any], None]
Trial = Callable[[Mapping[str, Any], Report], None]

MEMORY_BYTES = 16 << 30
_START: Final = "forkserver"  # imports PyTorch and MMDetection once; each trial is a fork of it
_WAIT = 20  # times the CPU seconds, for a busy machine; beyond, a trial waits for something


@dataclass(frozen=True)
class Isolated:
    """What a process told before it ended.

    Attributes:
        found: the last value that was reported for each key.
        end: why it did not come to its end; '' if it did.
        seconds: that it took.
    """

    found: dict[str, Any]
    end: str
    seconds: float


def run_isolated(
    trial: Trial, subject: Mapping[str, Any], timeout: int, memory: int = MEMORY_BYTES
) -> Isolated:
    """Calls ``trial(subject, report)``, silenced and on one thread.

    Args:
        trial: a function of a module; says each result as soon as it is there.
        subject: what it gets.
        timeout: CPU seconds after which it is ended.
        memory: bytes of address space that it may have.
    """
    context = multiprocessing.get_context(_START)
    context.set_forkserver_preload([trial.__module__])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_child, args=(trial, dict(subject), sender, timeout, memory), daemon=True
    )
    started = time.monotonic()
    process.start()
    sender.close()
    found: dict[str, Any] = {}
    end = None
    while end is None:
        if not receiver.poll(max(0.0, started + _WAIT * timeout - time.monotonic())):
            end = f"not done within {_WAIT * timeout} s"
            continue
        try:
            key, value = receiver.recv()
        except EOFError:
            process.join(timeout=10)
            end = f"the process ended with code {process.exitcode}"
            if process.exitcode == -signal.SIGXCPU:
                end = f"not done within {timeout} s of CPU time"
        else:
            found[key] = value
            if key == "done":
                end = ""
    process.kill()
    process.join()
    found.pop("done", None)
    return Isolated(found, end, round(time.monotonic() - started, 1))


def _child(
    trial: Trial, subject: dict[str, Any], sender: Connection, timeout: int, memory: int
) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (timeout, timeout + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.chdir(config_root().parent)  # some configs name others as 'configs/...'
    torch.set_num_threads(1)
    trial(subject, lambda key, value: sender.send((key, value)))
    sender.send(("done", True))
