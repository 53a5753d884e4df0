"""What one worker does, in whichever process: shards in, files of rows out."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lbwdet.bulk.attempts import DEATHS, Attempts
from lbwdet.bulk.listing import Entry, Reader, Shard
from lbwdet.bulk.manifest import is_done, shard_path
from lbwdet.bulk.rows import Row, failed_row, found_row, schema_of, write_rows
from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.deploy.runtime.detector import Detector
from lbwdet.errors import DataError, LBWError


@dataclass(frozen=True)
class Job:
    """What all workers of a run are told.

    Attributes:
        reader: opens the images.
        artifact: path of the detector.
        artifact_digest: of that file: on another machine it might be another.
        folder: for the files of rows.
        threads: of each worker's engine.
        engine: ``'native'`` or ``'reference'``.
        score_threshold: boxes with a score above it.
        facts: for every file, as :func:`lbwdet.bulk.rows.schema_of` takes them; ``'run'`` is one.
    """

    reader: Reader
    artifact: str
    artifact_digest: str
    folder: str
    threads: int
    engine: str
    score_threshold: float
    facts: Mapping[str, Any]


# Has shards worked on, and yields the number of images of each that is done.
Run = Callable[[Job, Sequence[Shard]], Iterator[int]]


class ShardWorker:
    """A detector that takes one shard after the other.

    Raises:
        LBWError: the artifact cannot be used, or is not the run's.
    """

    def __init__(self, job: Job) -> None:
        if digest_of_artifact(job.artifact) != job.artifact_digest:
            raise DataError(
                f"{job.artifact}: here it is another file than where the run was started; give "
                "every machine the same one"
            )
        artifact = read_artifact(job.artifact)
        threads = job.threads if job.engine == "native" else None  # numpy's are set outside
        self._job = job
        self._detector = Detector(artifact, threads, job.engine, job.score_threshold)
        self._schema = schema_of(job.facts, artifact.program.has_masks)

    def __call__(self, shard: Shard) -> None:
        """Writes the rows of a shard, all of them at once, unless they are there.

        Raises:
            DataError: the source is not any more what it was.
            OSError: the file cannot be written.
        """
        path = shard_path(Path(self._job.folder), shard.number)
        # Another worker may have written it and died before it could say so.
        if not is_done(path, shard, self._job.facts["run"]):
            with Attempts(path) as attempts:
                write_rows(path, list(self._rows(shard, attempts)), self._schema)

    def _rows(self, shard: Shard, attempts: Attempts) -> Iterator[Row]:
        for index, entry in enumerate(self._job.reader.entries(shard), shard.first):
            if attempts.may_try(index):
                yield self._row(index, entry)
            else:
                reason = f"{entry.name}: {DEATHS} workers died at this image"
                yield failed_row(index, entry.name, reason)

    def _row(self, index: int, entry: Entry) -> Row:
        try:
            image = entry.load()
            return found_row(index, entry.name, image, self._detector(image))
        except LBWError as error:  # the artifact was checked when it was read: it is the image
            return failed_row(index, entry.name, str(error))
        except MemoryError:
            return failed_row(index, entry.name, f"{entry.name}: not enough memory for this image")


def digest_of_artifact(path: str | os.PathLike[str]) -> str:
    """sha256 of the file.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
