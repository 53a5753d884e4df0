import os
import subprocess
import sys
import time

import pytest

from lbwdet.training.orphans import VARIABLE

CHILD = "import time; from lbwdet.training.orphans import end_with_parent\n"
CHILD += "end_with_parent(); print(flush=True); time.sleep(60)"
PARENT = """
import subprocess, sys
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
@pytest.mark.parametrize("asked", ["1", "0"])
def test_ends_with_its_parent(asked):
    environment = os.environ | {VARIABLE: asked}
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert there(pid)
        parent.kill()
    until = time.monotonic() + (20 if asked == "1" else 2.5)
    while there(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert there(pid) == (asked == "0")
    if asked == "0":
        os.kill(pid, 9)
