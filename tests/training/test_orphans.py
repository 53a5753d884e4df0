import os
import signal
import subprocess
import sys
import time

import pytest

from lbwdet.training.orphans import VARIABLE

CHILD = "import time; from lbwdet.training.orphans import end_with_parent\n"
CHILD += "end_with_parent(); print(flush=True); time.sleep(60)"
PARENT = """
import os, subprocess, sys
os.environ[sys.argv[2]] = str(os.getpid()) if sys.argv[3] == "1" else sys.argv[3]
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended stays in the table where nobody asks for orphans.
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")")[1].split()[0] != "Z"


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="tells processes by /proc")
@pytest.mark.parametrize("asked", ["1", ""])
def test_ends_with_its_parent(asked):
    command = [sys.executable, "-c", PARENT, CHILD, VARIABLE, asked]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert there(pid)
        parent.kill()
    until = time.monotonic() + (20 if asked == "1" else 2.5)
    while there(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert there(pid) == (asked == "")
    if asked == "":
        os.kill(pid, 9)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="tells processes by /proc")
def test_a_parent_that_was_gone_before():
    environment = os.environ | {VARIABLE: "1"}  # no parent of what follows
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], env=environment, stdout=subprocess.PIPE
    ) as child:
        assert child.wait(120) == -signal.SIGTERM
