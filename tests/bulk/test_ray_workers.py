"""Ray's processes, killed, interrupted and refused; what rows say is looked at elsewhere."""

import dataclasses
import importlib.util
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lbwdet.bulk.detect import BulkSettings, detect_in_bulk
from lbwdet.bulk.manifest import NAME
from lbwdet.bulk.ray_workers import _run
from lbwdet.bulk.rows import read_rows
from lbwdet.bulk.sources.any import list_source
from lbwdet.bulk.worker import Job, digest_of_artifact
from lbwdet.errors import DataError

pytest.importorskip("ray", reason="pip install 'lbwdet[bulk]'")

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "bulk_kills.py"
OPTIONS = ["--engine", "reference", "--shard-size", "4", "--score-thr", "0.05"]


@pytest.fixture(scope="module")
def ray_starts():
    """Skips where Ray by itself cannot start: sandboxes, too little shared memory."""
    program = (
        "import ray; ray.init(address='local', num_cpus=1, include_dashboard=False, "
        "object_store_memory=100 * 2**20); ray.get(ray.remote(lambda: 1).remote())"
    )
    try:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("Ray does not start within 120 s here")
    if done.returncode:
        pytest.skip(f"Ray does not start here: {done.stderr[-200:].decode(errors='replace')}")


@pytest.fixture(scope="module")
def kills(ray_starts):
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
    _, printed = process.communicate(timeout=180)
    assert process.returncode == 130
    own_lines = [line for line in printed.splitlines() if "(raylet)" not in line]
    assert own_lines[-1] == "interrupted" and "Traceback" not in printed
    assert len(own) > 1 and not any(kills.is_alive(pid) for pid in own)


def test_two_runs_of_one_process(ray_starts, images, artifact, tmp_path):
    """Each starts a Ray of its own."""
    program = (
        "import sys; from lbwdet.cli import main; rest = sys.argv[1:];"
        "sys.exit(main([*rest, '--out', 'one.parquet']) or main([*rest, '--out', 'two.parquet']))"
    )
    line = ["detect", images, artifact, *OPTIONS, "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, line)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "5 images; see one.parquet\n5 images; see two.parquet\n"


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
        done = subprocess.run(line, capture_output=True, text=True, timeout=180)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: --cluster {address}: {said}")
    assert not (tmp_path / "b.parquet").exists()


class HereInstead:
    """As much of Ray Data as a run asks for, in this process."""

    exceptions = SimpleNamespace(RayError=RuntimeError, RayTaskError=ZeroDivisionError)

    def __init__(self):
        self.data = SimpleNamespace(
            DataContext=SimpleNamespace(get_current=SimpleNamespace),
            ActorPoolStrategy=SimpleNamespace,
            from_items=lambda items, override_num_blocks: SimpleNamespace(
                map=lambda actor, fn_constructor_args, **options: SimpleNamespace(
                    iter_rows=lambda: map(actor(*fn_constructor_args), items)
                )
            ),
        )


def job_of(listing, artifact, folder, /, **changes):
    digest = digest_of_artifact(artifact)
    facts = dict(run="1")
    job = Job(listing.reader, str(artifact), digest, str(folder), 1, "reference", 0.05, facts)
    return dataclasses.replace(job, **changes)


def test_what_a_worker_refuses_comes_home(images, artifact, tmp_path):
    """The footer, which is all that is read of a table beforehand, is whole; a page is not."""
    table = tmp_path / "a.parquet"
    data = (images / "a.jpg").read_bytes()
    pq.write_table(pa.table(dict(image=[data] * 8)), table, compression="snappy")
    listing = list_source(table, 4)
    with table.open("r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 64)
    refused = {
        rf"{table}: damaged: ": {},
        "other.lbw: No such file or directory": dict(artifact=str(tmp_path / "other.lbw")),
        "here it is another file": dict(artifact_digest="another"),
        "gone/_attempts-shard-0000000: No such file": dict(folder=str(tmp_path / "gone")),
    }
    for sentence, changes in refused.items():
        job = job_of(listing, artifact, tmp_path, **changes)
        with pytest.raises(DataError, match=sentence):
            list(_run(HereInstead(), 1, job, listing.shards))
    assert not list(tmp_path.glob("shard-*"))


def test_what_is_done_comes_home(images, artifact, tmp_path):
    listing = list_source(images, 2)
    job = job_of(listing, artifact, tmp_path)
    assert list(_run(HereInstead(), 1, job, listing.shards)) == [2, 2, 1]
    assert len(list(read_rows(tmp_path.glob("shard-*")))) == 5


def test_ray_has_stopped(images, artifact, tmp_path):
    class Broken:
        def entries(self, shard):
            raise RuntimeError("Raylet is gone\n  at line 5\nbecause of memory")

    listing = list_source(images, 2)
    job = job_of(listing, artifact, tmp_path, reader=Broken())
    with pytest.raises(DataError) as stopped:
        list(_run(HereInstead(), 1, job, listing.shards))
    assert str(stopped.value) == (
        "Ray has stopped: Raylet is gone ... because of memory; the same command goes on with what "
        "is missing"
    )
