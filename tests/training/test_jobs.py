import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import DictAction

from lbwdet.cli import main
from lbwdet.errors import LBWError
from lbwdet.training import jobs
from lbwdet.training.jobs import TrainingJob

# As MMEngine 0.10.7 writes them: the epoch is padded, the iteration too.
LOG = """\
11/23 13:56:02 - mmengine - INFO - Checkpoints will be saved to work_dirs/run.
11/23 13:56:40 - mmengine - INFO - Epoch(train)  [1][20/63]  base_lr: 1.0000e-02 \
lr: 4.4898e-03  eta: 1 day, 2:03:04  time: 1.9020  data_time: 0.0201  loss: 1.2044
11/23 13:57:18 - mmengine - INFO - Epoch(train)  [2][ 3/63]  lr: 1e-02  eta: 12 days, 0:00:07  \
time: 1.8  loss: 1.1
11/23 13:57:20 - mmengine - INFO - Epoch(val) [1][150/150]    pascal_voc/mAP: 0.5000
11/23 13:57:30 - mmengine - INFO - Epoch(train) [10][63/63]  lr: 1e-04  eta: 0:00:00  time: 1.8
11/23 13:57:31 - mmengine - INFO - Saving checkpoint at 10 epochs
"""


class Child:
    """Stands in for ``subprocess.Popen``: a small program in place of ``lbwdet train``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.program = ""
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        popen = subprocess.Popen

        def start(command: list[str], **options):
            self.commands.append(command)
            self.environments.append(options["env"])
            return popen([sys.executable, "-S", "-c", self.program], **options)

        monkeypatch.setattr(subprocess, "Popen", start)


@pytest.fixture
def child(monkeypatch) -> Child:
    return Child(monkeypatch)


@pytest.fixture
def job(tmp_path) -> TrainingJob:
    config = tmp_path / "some config.py"
    config.write_text("train_cfg = dict(max_epochs=3)")
    options = {"train_cfg.max_epochs": 10, "a.b": [16, 32], "load_from": "my runs, old/a.pth"}
    return TrainingJob(str(config), tmp_path / "run", options)


def writes(path: Path) -> str:
    return f"open({str(path)!r}, 'w').close()\n"


def test_trains_with_progress_and_keeps_the_output(job, child):
    child.program = f"print({LOG!r}, end='')\n{writes(job.checkpoint)}"
    seen: list[float] = []
    assert job.run(threads=3, on_progress=seen.append) == job.work_dir / "epoch_10.pth"
    assert seen == pytest.approx([20 / 630, 66 / 630, 1], rel=1e-12) and seen[-1] == 1
    assert (job.work_dir / "train.log").read_text() == LOG
    assert child.environments[0]["OMP_NUM_THREADS"] == "3"


def test_the_command_says_what_the_job_does(job, child, monkeypatch):
    child.program = writes(job.checkpoint)
    job.run(threads=1)
    (command,) = child.commands
    assert command[:5] == [sys.executable, "-W", "ignore", "-m", "lbwdet.cli"]
    seen = {}
    monkeypatch.setattr("lbwdet.training.run.train", lambda *a, **options: seen.update(options))
    assert main(command[5:]) == 0
    assert seen["cfg_options"] == job.options and seen["work_dir"] == str(job.work_dir)
    assert seen["resume"] is None


def test_a_finished_job_is_not_run_again(job, child):
    job.work_dir.mkdir()
    job.checkpoint.touch()
    assert job.run(threads=1) == job.checkpoint and not child.commands


def test_an_interrupted_job_goes_on(job, child):
    job.work_dir.mkdir()
    (job.work_dir / "epoch_2.pth").touch()
    (job.work_dir / "train.log").write_text("before\n")
    child.program = f"print('after')\n{writes(job.checkpoint)}"
    job.run(threads=1)
    assert "--resume" in child.commands[0]
    assert (job.work_dir / "train.log").read_text() == "before\nafter\n"


def test_a_failed_job_shows_the_end_of_its_output(job, child):
    child.program = (
        "import sys\nfor number in range(50): print('line', number)\n"
        "print('error: no space left', file=sys.stderr)\nsys.exit(7)"
    )
    with pytest.raises(LBWError) as error:
        job.run(threads=1)
    message = str(error.value)
    assert f"training {job.config} failed (exit code 7)" in message
    assert str(job.work_dir / "train.log") in message
    assert message.endswith("line 49\nerror: no space left\n") and "line 20\n" not in message
    assert len((job.work_dir / "train.log").read_text().splitlines()) == 51


def test_a_job_that_says_it_worked_must_have_a_checkpoint(job, child):
    with pytest.raises(LBWError, match=r"failed \(exit code 0\)"):
        job.run(threads=1)


def test_a_config_that_is_not_there(tmp_path):
    with pytest.raises(LBWError, match="no such config"):
        TrainingJob(str(tmp_path / "a.py"), tmp_path).run(threads=1)


@pytest.mark.parametrize("value", [1, 0.5, "text", [1, 2], (1, 2), None, True, ["a", "b"]])
def test_values_survive_the_command_line(value):
    assert DictAction._parse_iterable(jobs._written(value)) == value


def test_the_pattern_matches_training_only():
    assert [bool(re.search(jobs._PROGRESS, line)) for line in LOG.splitlines()] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]
