"""A training that another process started ends with it, however that one ended."""

import os
import signal
import threading
import time

VARIABLE = "LBWDET_ENDS_WITH_PARENT"  # the process that starts a training
_SECONDS = 1.0


def end_with_parent() -> None:
    """From now on this process is terminated when its parent is not, or no more, ``VARIABLE``.

    Ctrl-C reaches both; ``kill`` and an exhausted memory reach one of them, and nobody would look
    after the other one any more.
    """
    if (parent := os.environ.get(VARIABLE, "")).isdecimal():
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
