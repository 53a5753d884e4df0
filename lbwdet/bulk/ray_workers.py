"""Workers as Ray's actors: processes on this machine, or on a cluster's machines.

Ray carries descriptions of shards and what became of them. Images and rows go from the source's
files to the worker's, and never through Ray. What its processes send one another is pickled; it
all comes from this program.
"""

import contextlib
import functools
import json
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from lbwdet.bulk.listing import Shard
from lbwdet.bulk.worker import Job, Run, ShardWorker
from lbwdet.deploy.runtime.native import available_threads
from lbwdet.errors import ConfigError, DataError, LBWError, first_line
from lbwdet.terminal import reason

# Each keeps an entry in the driver's tables; a run of more shards gives several to one task.
MAX_TASKS = 4096
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would tell its makers that it was used
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what matters comes as an exception
}
_QUIET: dict[str, Any] = dict(log_to_driver=False, logging_level=logging.ERROR)
_FAILURES = (OSError, OverflowError, RuntimeError, ValueError)  # of a start, by experience
_STORE = 256 << 20  # bytes of shared memory, of which descriptions need little
_PATIENCE = 5  # seconds to look whether anything answers at a cluster's address


@contextlib.contextmanager
def ray_workers(workers: int | None, threads: int, cluster: str | None = None) -> Iterator[Run]:
    """Starts or joins Ray, and leaves it.

    Args:
        workers: how many; None: as many as the CPUs are enough for.
        threads: CPUs that each takes.
        cluster: ``host:port`` of a Ray cluster that this machine is part of; None: processes of
            this machine, which end with this one.

    Yields:
        What has shards worked on, in any order, and yields the number of images of each that is
        done; it raises an LBWError where one cannot be done, or Ray stops.

    Raises:
        ConfigError: there is no cluster at that address, or it has not enough CPUs.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if cluster is None:  # Ray's ports are open to the network: a secret of this process alone
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=_secret())
    import ray

    with contextlib.ExitStack() as stack:
        # Ray's logs and sockets; nothing of them is needed afterwards.
        folder = tempfile.TemporaryDirectory(prefix="lbw", ignore_cleanup_errors=True)
        stack.enter_context(folder)
        stack.callback(ray.shutdown)
        if cluster is None:
            cores = (workers or available_threads() // threads or 1) * threads
            _start(ray, cores, folder.name)
        else:
            _join(ray, cluster)
        cores = int(ray.cluster_resources().get("CPU", 0))
        count = workers or cores // threads
        if not 1 <= count * threads <= cores:
            raise ConfigError(
                f"--cluster {cluster}: {max(count, 1)} workers of {threads} threads need more than "
                f"its {cores} CPUs; give fewer of one or the other"
            )
        yield functools.partial(_run, ray, count)


@functools.cache
def _secret() -> str:
    """Ray's core reads a token once in a process: a second run with another would be refused."""
    return secrets.token_hex(32)


def _start(ray: Any, cores: int, folder: str) -> None:
    try:
        with _silence():
            ray.init(
                address="local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=_STORE,
                _temp_dir=folder,
                **_QUIET,
            )
    except _FAILURES as error:
        raise LBWError(
            f"Ray cannot be started on this machine: {first_line(error)}; --workers 0 does without"
        ) from error


def _join(ray: Any, cluster: str) -> None:
    host, _, port = cluster.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise ConfigError(
            f"--cluster {cluster}: write the address that 'ray start --head' said, host:port"
        )
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
        with _silence():
            ray.init(address=cluster, **_QUIET)
    except _FAILURES as error:
        raise ConfigError(
            f"--cluster {cluster}: no Ray cluster can be reached there from this machine "
            f"({first_line(error)}); if it asks for a token, set RAY_AUTH_MODE=token"
        ) from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Ray's native part announces its log level on stderr; what is wrong comes as an exception."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _run(ray: Any, workers: int, job: Job, shards: Sequence[Shard]) -> Iterator[int]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    items = [dict(shard=json.dumps(asdict(shard))) for shard in shards]
    tasks = ray.data.from_items(items, override_num_blocks=min(len(items), MAX_TASKS))
    # Ray gives the shards of a worker that has died to others, and starts another one.
    outcomes = tasks.map(
        _Actor,
        fn_constructor_args=(job,),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=job.threads,
    )
    try:
        for outcome in outcomes.iter_rows():
            if outcome["refusal"]:
                raise DataError(outcome["refusal"])
            yield outcome["images"]
    except ray.exceptions.RayTaskError:
        raise  # a fault of this program
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        why = " ... ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))
        raise DataError(
            f"Ray has stopped: {why}; the same command goes on with what is missing"
        ) from error


class _Actor:
    """A worker in a process of its own; what a user can cause comes home as a sentence."""

    def __init__(self, job: Job) -> None:
        self._refusal = ""
        try:
            self._worker = ShardWorker(job)
        except (LBWError, OSError) as error:
            self._refusal = _sentence(error)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        fields = json.loads(item["shard"])
        shard = Shard(**fields | dict(where=tuple(fields["where"])))
        refusal = self._refusal
        if not refusal:
            try:
                self._worker(shard)
            except (LBWError, OSError) as error:
                refusal = _sentence(error)
        return dict(images=shard.count, refusal=refusal)


def _sentence(error: Exception) -> str:
    return reason(error) if isinstance(error, OSError) else str(error)
