import errno
import io
import multiprocessing
import os
import time
from pathlib import Path

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.runner.checkpoint import save_checkpoint

from lbwdet.checkpoints import latest_checkpoint, read_checkpoint
from lbwdet.errors import LBWError
from lbwdet.training.atomic_backend import NAME, AtomicLocalBackend
from lbwdet.training.run import train

BACKEND = dict(backend=NAME)


def test_mmengine_finds_it_and_it_writes_local_files(tmp_path):
    backend = get_file_backend(backend_args=BACKEND)
    assert isinstance(backend, AtomicLocalBackend)
    backend.put(b"\x00\x01", tmp_path / "new" / "a.bin")
    backend.put_text("ä", str(tmp_path / "a.txt"), encoding="latin-1")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"\x00\x01"
    assert (tmp_path / "a.txt").read_bytes() == b"\xe4"


def half_written(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data[: len(data) // 2])


def no_space_left(path: Path, data: bytes) -> int:
    half_written(path, data)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stall(path: Path, data: bytes) -> int:
    half_written(path, data)
    (path.parent / "half is written").touch()
    time.sleep(600)
    return len(data)


def write_and_stall(checkpoint: Path) -> None:
    Path.write_bytes = stall
    state = dict(state_dict=dict(a=torch.zeros(1000)))
    save_checkpoint(state, str(checkpoint), backend_args=BACKEND)


@pytest.fixture
def one_epoch(make_config, tmp_path):
    """The config file and work dir of a training that has written its first checkpoint."""
    config = make_config()
    config.dump(tmp_path / "tiny.py")
    train(tmp_path / "tiny.py", work_dir=str(tmp_path / "run"))
    return tmp_path / "tiny.py", tmp_path / "run"


def resume(config: Path, work_dir: Path) -> None:
    name = f"resumed {work_dir}"  # MMEngine keeps loggers and visualizers by name
    options = {"train_cfg.max_epochs": 2, "experiment_name": name, "visualizer.name": name}
    train(config, work_dir=str(work_dir), resume="auto", cfg_options=options)


def is_as_before(work_dir: Path) -> bool:
    read_checkpoint(work_dir / "epoch_1.pth")
    return (
        latest_checkpoint(work_dir) == work_dir / "epoch_1.pth"
        and not (work_dir / "epoch_2.pth").exists()
    )


def test_a_full_disk_leaves_the_previous_checkpoint(one_epoch, monkeypatch):
    config, work_dir = one_epoch
    with monkeypatch.context() as patch, pytest.raises(LBWError, match="no space left on the disk"):
        patch.setattr(Path, "write_bytes", no_space_left)
        resume(config, work_dir)
    assert is_as_before(work_dir)
    assert not [path for path in work_dir.iterdir() if path.name.startswith(".")]


def test_a_killed_process_leaves_the_previous_checkpoint(one_epoch):
    config, work_dir = one_epoch
    child = multiprocessing.get_context("fork").Process(
        target=write_and_stall, args=(work_dir / "epoch_2.pth",)
    )
    child.start()
    deadline = time.monotonic() + 100
    while not (work_dir / "half is written").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()  # SIGKILL
    child.join()
    assert child.exitcode == -9
    (half,) = work_dir.glob(".epoch_2-*.pth")
    with pytest.raises(RuntimeError):
        torch.load(io.BytesIO(half.read_bytes()), weights_only=True)
    assert is_as_before(work_dir)
    resume(config, work_dir)
    _, meta = read_checkpoint(work_dir / "epoch_2.pth")
    assert meta["epoch"] == 2 and latest_checkpoint(work_dir) == work_dir / "epoch_2.pth"
