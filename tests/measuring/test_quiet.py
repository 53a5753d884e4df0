import os
import subprocess
import sys

import numpy as np
import pytest

from lbwdet.measuring.quiet import QuietCheck, spread

CPU = "cpu {user} 0 0 {idle} 7 0 0 0 0 0\ncpu0 1 2 3\n"
PROCESS = "1 (a name) with ) S 0 0 0 0 0 0 0 0 0 0 {user} {system} 0 0 0\n"
SAMPLES = dict(even=np.array([[1.0, 5.0]] * 4))


class Machine:
    """A ``/proc`` of one's own: ticks of all, and of this process."""

    def __init__(self, root):
        self.root = root
        (root / str(os.getpid())).mkdir()
        self.set(0, 0)

    def set(self, all_ticks, own_ticks):
        (self.root / "stat").write_text(CPU.format(user=all_ticks, idle=12345))
        line = PROCESS.format(user=own_ticks, system=0)
        (self.root / str(os.getpid()) / "stat").write_text(line)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass at each look."""
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr("lbwdet.measuring.quiet.time.monotonic", lambda: float(next(now)))


@pytest.fixture
def machine(tmp_path, clock):
    return Machine(tmp_path)


def test_a_machine_that_is_ours_alone(machine):
    check = QuietCheck([], machine.root, seconds=0)
    machine.set(2000, 1999)  # of ours 20 s in 10: two CPUs
    check.finish()
    report = check.report(SAMPLES)
    assert report["why_not"] == [] and report["spread"] == dict(even=0)
    assert (report["load_before"], report["load_during"]) == (0, pytest.approx(0.001))


def test_others_at_work(machine):
    check = QuietCheck([], machine.root, seconds=0)
    machine.set(2000, 1000)
    check.finish()
    (reason,) = check.report(SAMPLES)["why_not"]
    ticks = os.sysconf("SC_CLK_TCK")
    assert reason == f"others kept {1000 / ticks / 10:.2f} CPUs busy during the timing"


def test_times_that_vary(machine):
    check = QuietCheck([], machine.root, seconds=0)
    check.finish()
    uneven = np.array([[1.0], [1.0], [1.0], [2.0]])
    (reason,) = check.report(SAMPLES | dict(uneven=uneven))["why_not"]
    assert reason == "uneven spreads by 70% of its median"


def test_images_of_different_cost_are_no_spread():
    assert spread([[1, 100], [1, 100], [1, 100]]) == 0
    assert spread([[1.0], [2.0], [3.0]]) == pytest.approx(0.8)  # from 1.2 to 2.8 halves


def test_a_system_that_does_not_say(tmp_path):
    check = QuietCheck([], tmp_path, seconds=0)
    check.finish()
    assert check.report(SAMPLES)["why_not"] == ["the system does not say how busy it is"]


def test_a_process_that_is_timed_is_not_another(machine):
    (machine.root / "77").mkdir()
    stat = machine.root / "77" / "stat"
    stat.write_text(PROCESS.format(user=0, system=0))
    check = QuietCheck([77], machine.root, seconds=0)
    machine.set(2000, 500)
    stat.write_text(PROCESS.format(user=1000, system=500))
    check.finish()
    assert check.during == 0


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="the system does not say")
def test_a_real_machine():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            assert QuietCheck([], seconds=0.3).before > 0.1
        finally:
            process.kill()
