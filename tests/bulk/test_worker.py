import dataclasses
import hashlib
import os

import pytest

from lbwdet.bulk.attempts import DEATHS, Attempts
from lbwdet.bulk.listing import Entry, Shard
from lbwdet.bulk.manifest import shard_path
from lbwdet.bulk.rows import facts_of, read_rows
from lbwdet.bulk.sources.files import list_folder
from lbwdet.bulk.worker import Job, ShardWorker, digest_of_artifact
from lbwdet.deploy.runtime import Detector
from lbwdet.errors import DataError
from lbwdet.images import read_image


@pytest.fixture
def job(images, artifact, tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    return Job(
        reader=list_folder(images, 3).reader,
        artifact=str(artifact),
        artifact_digest=digest_of_artifact(artifact),
        folder=str(folder),
        threads=1,
        engine="reference",
        score_threshold=0.05,
        facts=dict(run="1"),
    )


SHARD = Shard(4, 10, 3, ("a.jpg", "c.jpg", "d.png"))


def test_rows_are_what_the_detector_says(job, images, artifact):
    ShardWorker(job)(SHARD)
    path = shard_path(images.parent / "rows", 4)
    rows = list(read_rows([path]))
    assert [row["index"] for row in rows] == [10, 11, 12]
    assert [row["image"] for row in rows] == list(SHARD.where)
    assert "c.jpg: not an image" in rows[1]["error"] and rows[1]["boxes"] is None
    detector = Detector(artifact, engine="reference", score_threshold=0.05)
    for row in (rows[0], rows[2]):
        found = detector(read_image(images / row["image"]))
        assert len(found) and row["boxes"] == found.boxes.tolist() and row["error"] is None
        assert row["scores"] == found.scores.tolist() and row["labels"] == found.labels.tolist()
    assert (rows[2]["width"], rows[2]["height"]) == (47, 33)
    assert facts_of(path) == (dict(run="1"), 3)


def test_what_is_there_is_not_done_again(job, images):
    ShardWorker(job)(SHARD)
    path = shard_path(images.parent / "rows", 4)
    os.utime(path, (1, 1))
    for file in images.iterdir():
        file.unlink()
    ShardWorker(job)(SHARD)
    assert path.stat().st_mtime == 1


def test_an_image_that_kills_workers_becomes_an_error(job, images):
    path = shard_path(images.parent / "rows", 4)
    for _ in range(DEATHS):
        Attempts(path).may_try(12)
    ShardWorker(job)(SHARD)
    rows = list(read_rows([path]))
    assert (
        rows[0]["error"] is None
        and rows[2]["error"] == f"d.png: {DEATHS} workers died at this image"
    )
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_image_for_which_there_is_no_memory(job, images):
    class Reader:
        def entries(self, shard):
            def load():
                raise MemoryError

            yield Entry("a.jpg", load)

    worker = ShardWorker(dataclasses.replace(job, reader=Reader()))
    worker(Shard(0, 0, 1, ()))
    (row,) = read_rows([shard_path(images.parent / "rows", 0)])
    assert row["error"] == "a.jpg: not enough memory for this image"


def test_the_artifact_is_the_runs(job, tmp_path):
    other = tmp_path / "other.lbw"
    other.write_bytes(b"other")
    with pytest.raises(DataError, match=r"other\.lbw: here it is another file"):
        ShardWorker(dataclasses.replace(job, artifact=str(other)))
    assert digest_of_artifact(other) == hashlib.sha256(b"other").hexdigest()
