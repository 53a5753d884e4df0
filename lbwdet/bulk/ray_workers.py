"""Workers as Ray's actors: processes on this machine, or on a cluster's machines.

Ray carries descriptions of shards and what became of them. Images and rows go from the source's
files to the worker's, and never through Ray. What its processes send one another is pickled; it
all comes from this program.
"""

import contextlib
import json
import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from lbwdet.bulk.listing import Shard
from lbwdet.bulk.worker import Job, ShardWorker
from lbwdet.errors import ConfigError, DataError, LBWError, first_line
from lbwdet.terminal import reason

# Each keeps an entry in the driver's tables; a run of more shards gives several to one task.
MAX_TASKS = 4096
# Of a shard whose worker was killed. Not for ever: an image might be what kills it.
RETRIES = 16
_STORE = 256 << 20  # bytes of shared memory, of which descriptions need little
_PATIENCE = 5  # seconds to look whether anything answers at a cluster's address


class RayWorkers:
    """Workers, one actor each.

    Args:
        workers: how many; None: as many as the CPUs are enough for.
        threads: CPUs that each takes.
        cluster: ``host:port`` of a Ray cluster that this machine is part of; None: processes of
            this machine, which end with this one.

    Raises:
        ConfigError: there is no cluster at that address, or it has not enough CPUs.
    """

    def __init__(self, workers: int | None, threads: int, cluster: str | None = None) -> None:
        # Ray would tell its makers that it was used.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self._ray: Any = ray
        self._threads = threads
        self._stack = contextlib.ExitStack()
        quiet = dict(log_to_driver=False, logging_level=logging.ERROR)
        with self._stack:
            self._stack.callback(ray.shutdown)
            if cluster is None:
                assert workers is not None
                self._start(workers * threads, quiet)
            else:
                self._join(cluster, quiet)
            cpus = int(ray.cluster_resources().get("CPU", 0))
            self.workers = workers or cpus // threads
            if not 1 <= self.workers * threads <= cpus:
                raise ConfigError(
                    f"--cluster {cluster}: {max(self.workers, 1)} workers of {threads} threads "
                    f"need more than its {cpus} CPUs; give fewer of one or the other"
                )
            self._stack = self._stack.pop_all()

    def run(self, job: Job, shards: Sequence[Shard]) -> Iterator[int]:
        """Has all shards worked on, in any order.

        Yields:
            The number of images of each that is done.

        Raises:
            LBWError: one cannot be done, or Ray has stopped.
        """
        context = self._ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        items = [json.dumps(asdict(shard)) for shard in shards]
        dataset = self._ray.data.from_items(
            [dict(shard=item) for item in items], override_num_blocks=min(len(items), MAX_TASKS)
        ).map(
            _Actor,
            fn_constructor_args=(job,),
            compute=self._ray.data.ActorPoolStrategy(size=self.workers),
            num_cpus=self._threads,
            max_task_retries=RETRIES,
        )
        try:
            for outcome in dataset.iter_rows():
                if outcome["refusal"]:
                    raise DataError(outcome["refusal"])
                yield outcome["images"]
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of this program
        except self._ray.exceptions.RayError as error:
            raise DataError(
                f"Ray has stopped: {first_line(error)}; the same command goes on with what is "
                "missing"
            ) from error

    def __enter__(self) -> "RayWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, cpus: int, quiet: dict[str, Any]) -> None:
        # Its logs and sockets; nothing of them is needed afterwards.
        folder = tempfile.TemporaryDirectory(prefix="lbw", ignore_cleanup_errors=True)
        self._stack.enter_context(folder)
        self._stack.callback(self._ray.shutdown)  # before that
        self._ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=_STORE,
            _node_ip_address="127.0.0.1",  # or others on the network could reach it
            _temp_dir=folder.name,
            **quiet,
        )

    def _join(self, cluster: str, quiet: dict[str, Any]) -> None:
        host, _, port = cluster.rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise ConfigError(
                f"--cluster {cluster}: write the address that 'ray start --head' said, host:port"
            )
        try:
            socket.create_connection((host, int(port)), _PATIENCE).close()
            self._ray.init(address=cluster, **quiet)
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"--cluster {cluster}: no Ray cluster can be reached there from this machine "
                f"({first_line(error)})"
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
