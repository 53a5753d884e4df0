"""Trainings as child processes: skipped when finished, resumed when interrupted."""

import dataclasses
import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lbwdet.checkpoints import latest_checkpoint
from lbwdet.configs import load_config
from lbwdet.errors import LBWError
from lbwdet.training import orphans

# MMEngine's own log line: "Epoch(train)  [3][40/63]  lr: ...  eta: 0:01:23  time: ..."
_PROGRESS = re.compile(r"Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]")

# For train_cfg.val_begin, where another measures what is trained: MMEngine validates after the
# last epoch whatever the interval.
NEVER = 1_000_000


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """One call of ``lbwdet train``.

    Attributes:
        config: the config file.
        work_dir: holds the checkpoints; a job whose last checkpoint is there is finished.
        options: dotted keys that override the config.
    """

    config: str
    work_dir: Path
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def max_epochs(self) -> int:
        return int(load_config(self.config, self.options).train_cfg.max_epochs)

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint, whether it exists yet or not."""
        return self.work_dir / f"epoch_{self.max_epochs}.pth"

    def run(self, threads: int, on_progress: Callable[[float], None] = lambda share: None) -> Path:
        """Trains, unless it is done. Returns the last checkpoint.

        The child's whole output goes to ``work_dir/train.log``.

        Args:
            threads: CPU threads.
            on_progress: called with the share of the iterations that are done.

        Raises:
            LBWError: the training failed; the message holds the end of its output.
        """
        checkpoint, max_epochs = self.checkpoint, self.max_epochs
        if checkpoint.is_file():
            return checkpoint
        self.work_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-W", "ignore", "-m", "lbwdet.cli", "train", self.config]
        command += ["--work-dir", str(self.work_dir)]
        if latest_checkpoint(self.work_dir):
            command += ["--resume"]
        if self.options:
            pairs = [f"{key}={_written(value)}" for key, value in self.options.items()]
            command += ["--cfg-options", *pairs]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), PYTHONUNBUFFERED="1")
        environment[orphans.VARIABLE] = str(os.getpid())
        tail: list[str] = []
        with (
            (self.work_dir / "train.log").open("a", encoding="utf-8") as log,
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as child,
        ):
            assert child.stdout is not None
            for line in child.stdout:
                log.write(line)
                log.flush()
                tail = [*tail[-19:], line]
                if found := _PROGRESS.search(line):
                    epoch, iteration, total = map(int, found.groups())
                    on_progress((epoch - 1 + iteration / total) / max_epochs)
        if child.returncode or not checkpoint.is_file():
            raise LBWError(
                f"training {self.config} failed (exit code {child.returncode}); the whole output "
                f"is in {self.work_dir / 'train.log'}, its end:\n{''.join(tail)}"
            )
        return checkpoint


def _written(value: Any) -> str:
    """As ``--cfg-options`` reads it; a text in quotes, so that paths may have blanks in them."""
    return f"'{value}'" if isinstance(value, str) else str(value).replace(" ", "")
