"""Ray's processes, killed, interrupted and refused; what rows say is looked at elsewhere."""

import importlib.util
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lbwdet.bulk.detect import BulkSettings, detect_in_bulk
from lbwdet.bulk.manifest import NAME
from lbwdet.bulk.rows import read_rows

pytest.importorskip("ray", reason="pip install 'lbwdet[bulk]'")

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "bulk_kills.py"
OPTIONS = ["--engine", "reference", "--shard-size", "4", "--score-thr", "0.05"]


@pytest.fixture(scope="module")
def kills():
    spec = importlib.util.spec_from_file_location("bulk_kills", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def many(images):
    """Enough of them that a run is still at work when it is stopped."""
    data = {path.suffix: path.read_bytes() for path in images.iterdir()}
    for number in range(395):
        suffix = sorted(data)[number % len(data)]
        (images / f"{number:03d}{suffix}").write_bytes(data[suffix])
    return images


def whole(images, artifact, out):
    settings = BulkSettings(workers=0, engine="reference", shard_size=4, score_thr=0.05)
    detect_in_bulk(images, artifact, out, settings)
    return list(read_rows(sorted(out.glob("*.parquet"))))


def command(images, artifact, out, *more):
    line = [sys.executable, "-m", "lbwdet.cli", "detect", images, artifact, "--out", out]
    return [*map(str, line), *OPTIONS, *more]


def test_killed_workers_and_a_killed_driver(kills, many, artifact, tmp_path):
    out = tmp_path / "boxes.parquet"
    line = command(many, artifact, out, "--workers", "2")
    told = kills.run_with_kills(line, out, ["worker", "driver"], seed=0)
    assert told.killed == ["worker", "driver"] and told.starts == 2
    rows = list(read_rows(sorted(out.glob("*.parquet"))))
    assert rows == whole(many, artifact, tmp_path / "undisturbed.parquet")
    assert [path for path in out.iterdir() if not path.name.startswith(("shard", NAME))] == []


def test_ctrl_c(kills, many, artifact, tmp_path):
    out = tmp_path / "boxes.parquet"
    line = command(many, artifact, out, "--workers", "1")
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("shard-*")):
        time.sleep(0.05)
        assert process.poll() is None
    own = kills.descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed.splitlines()[-1] == "interrupted" and "Traceback" not in printed
    assert len(own) > 1 and not any(kills.is_alive(pid) for pid in own)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nowhere", "write the address that 'ray start --head' said, host:port"),
        ("ray://127.0.0.1:{port}", "write the address that 'ray start --head' said, host:port"),
        ("127.0.0.1:{port}", "no Ray cluster can be reached there from this machine"),
    ],
)
def test_there_is_no_cluster(images, artifact, tmp_path, address, said):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = address.format(port=taken.getsockname()[1])
        line = command(images, artifact, tmp_path / "b.parquet", "--cluster", address)
        done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: --cluster {address}: {said}")
    assert not (tmp_path / "b.parquet").exists()


def test_what_a_worker_refuses_comes_home(images, artifact, tmp_path):
    """The footer, which is all that the driver reads, is whole; a page of images is not."""
    table = tmp_path / "a.parquet"
    data = (images / "a.jpg").read_bytes()
    pq.write_table(pa.table(dict(image=[data] * 8)), table, compression="snappy")
    with table.open("r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 64)
    out = tmp_path / "boxes.parquet"
    line = command(table, artifact, out, "--workers", "1")
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {table}: damaged: ")
    assert [path.name for path in out.iterdir()] == [NAME]
