"""``lbwdet detect``: a detector over a whole source, in shards that survive whatever stops a run.

A shard's rows are written to a temporary name, flushed and renamed; so its file is there whole or
not at all, and a run is what is left of the shards without a file.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lbwdet import __version__
from lbwdet.bulk.coco import write_coco
from lbwdet.bulk.listing import Listing, Shard
from lbwdet.bulk.manifest import Manifest, begin, check_folder, missing_shards, shard_paths
from lbwdet.bulk.rows import Row, count_failed, read_rows
from lbwdet.bulk.sources.any import list_source
from lbwdet.bulk.voc import ids_of, write_voc
from lbwdet.bulk.worker import Job, Run, ShardWorker, digest_of_artifact
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.errors import ConfigError, DataError
from lbwdet.files import locked, sweep
from lbwdet.progress import Progress

SHARD_SIZE = 128
FORMATS = ("parquet", "coco", "voc")
_ENDINGS = {".parquet": "parquet", ".json": "coco"}


@dataclass(frozen=True)
class BulkSettings:
    """How a run is carried out.

    Attributes:
        workers: processes; 0: this process itself, without Ray; None: as many as there are CPUs
            for.
        threads: of each worker's engine.
        cluster: ``host:port`` of a Ray cluster; None: this machine.
        shard_size: images in a shard, at most: what a killed worker does again.
        format: one of ``FORMATS``; None: as the ending of the output says.
        column: of a Parquet source; None: 'image', or the only one with bytes.
        score_thr: boxes with a score above it.
        engine: ``'native'`` or ``'reference'``.

    Raises:
        ConfigError: a setting is out of range.
    """

    workers: int | None = None
    threads: int = 1
    cluster: str | None = None
    shard_size: int = SHARD_SIZE
    format: str | None = None
    column: str | None = None
    score_thr: float = 0.3
    engine: str = "native"

    def __post_init__(self) -> None:
        if self.workers == 0 and self.cluster is not None:
            raise ConfigError(
                "--workers 0 works in this process alone: leave out --cluster, or give more workers"
            )
        if not 0 <= self.score_thr <= 1:
            raise ConfigError(f"--score-thr {self.score_thr}: scores lie between 0 and 1")


@dataclass(frozen=True)
class BulkResult:
    """What a run has left behind.

    Attributes:
        images: rows, of all runs that had part in them.
        failed: those with an error.
        before: images that earlier runs had done.
        shards: the folder of the rows.
        out: what was asked for.
    """

    images: int
    failed: int
    before: int
    shards: Path
    out: Path


def detect_in_bulk(
    source: str | os.PathLike[str],
    artifact: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: BulkSettings | None = None,
) -> BulkResult:
    """Detects objects in every image of a source; the same call goes on with an ended run.

    Args:
        source: see :data:`lbwdet.bulk.sources.any.KINDS`.
        artifact: ``model.lbw``.
        out: folder of Parquet files, one for each shard; of other formats what they write, and
            the Parquet files stand in ``<out>.parquet`` beside it.

    Raises:
        LBWError: with a message for the user.
        OSError: a file cannot be read or written.
    """
    settings = settings or BulkSettings()
    out = Path(out)
    kind = settings.format or _ENDINGS.get(out.suffix.lower())
    if kind is None:
        raise ConfigError(
            f"--out {out}: which format? End it with {' or '.join(_ENDINGS)}, or say --format "
            f"{' or '.join(FORMATS)}"
        )
    folder = out if kind == "parquet" else out.with_name(f"{out.name}.parquet")
    listing = list_source(source, settings.shard_size, settings.column)
    finish = _finish(kind, out, listing)
    detector = read_artifact(artifact)
    manifest = Manifest(
        source=os.fspath(source),
        kind=listing.kind,
        images=listing.images,
        shards=len(listing.shards),
        shard_size=settings.shard_size,
        source_digest=listing.digest,
        artifact=os.fspath(artifact),
        artifact_digest=digest_of_artifact(artifact),
        score_threshold=settings.score_thr,
        classes=detector.classes,
    )
    check_folder(folder, manifest)
    job = Job(
        reader=listing.reader,
        artifact=os.path.abspath(artifact),
        artifact_digest=manifest.artifact_digest,
        folder=os.path.abspath(folder),
        threads=settings.threads,
        engine=settings.engine,
        score_threshold=settings.score_thr,
        facts=dict(
            run=manifest.run,
            classes=list(manifest.classes),
            artifact_digest=manifest.artifact_digest,
            score_threshold=manifest.score_threshold,
            version=__version__,
        ),
    )
    if kind != "parquet" and out.exists() and not folder.exists():
        raise DataError(f"{out}: something is there already; name another --out, or delete it")
    before = _work(job, manifest, listing, folder, settings)
    paths = shard_paths(folder, listing.shards)
    if not (kind == "voc" and out.exists()):
        finish(read_rows(paths), manifest.classes)
    return BulkResult(listing.images, count_failed(paths), before, folder, out)


def _work(
    job: Job, manifest: Manifest, listing: Listing, folder: Path, settings: BulkSettings
) -> int:
    """Does the shards that are missing; returns the number of images that were done before."""
    if folder.exists() and not missing_shards(folder, manifest, listing.shards):
        return listing.images
    with contextlib.ExitStack() as stack:
        # Workers first: where there are none, nothing is written.
        run = stack.enter_context(_workers(job, settings))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(locked(folder, wait=False))
        except BlockingIOError as error:
            raise DataError(f"{folder}: another run is writing here; wait for its end") from error
        except OSError:
            pass  # a file system without locks; what two runs write is the same
        begin(folder, manifest)
        missing = missing_shards(folder, manifest, listing.shards)
        left = sum(shard.count for shard in missing)
        stack.callback(sweep, folder)  # what killed workers have left half-written
        with Progress("detect", total=left) as progress:
            for images in run(job, missing):
                progress.reach(progress.done + images)
        return listing.images - left


@contextlib.contextmanager
def _workers(job: Job, settings: BulkSettings) -> Iterator[Run]:
    # Made here in any case: what is wrong with it is said before processes are started.
    worker = ShardWorker(job)
    if settings.workers == 0:
        yield functools.partial(_run_here, worker)
        return
    del worker
    from lbwdet.bulk.ray_workers import ray_workers

    with ray_workers(settings.workers, settings.threads, settings.cluster) as run:
        yield run


def _run_here(worker: ShardWorker, job: Job, shards: Sequence[Shard]) -> Iterator[int]:
    for shard in shards:
        worker(shard)
        yield shard.count


def _finish(
    kind: str, out: Path, listing: Listing
) -> Callable[[Iterator[Row], Sequence[str]], None]:
    """What is written when all rows are there."""
    if kind == "coco":
        return functools.partial(write_coco, out)
    if kind == "voc":
        return functools.partial(write_voc, out, ids=listing.names and ids_of(listing.names))
    return lambda rows, classes: None
