import dataclasses
import json

import pytest

from lbwdet.bulk.listing import Shard
from lbwdet.bulk.manifest import (
    NAME,
    Manifest,
    begin,
    check_folder,
    is_done,
    missing_shards,
    shard_path,
    shard_paths,
)
from lbwdet.bulk.rows import failed_row, schema_of, write_rows
from lbwdet.errors import DataError

MANIFEST = Manifest(
    source="images",
    kind="folder",
    images=5,
    shards=3,
    shard_size=2,
    source_digest="ab",
    artifact="m.lbw",
    artifact_digest="cd",
    score_threshold=0.3,
    classes=("cat",),
)
SHARDS = [Shard(0, 0, 2, ()), Shard(1, 2, 2, ()), Shard(2, 4, 1, ())]


def finish(folder, shard, run=MANIFEST.run, count=None):
    rows = [failed_row(shard.first + place, "a", "why") for place in range(count or shard.count)]
    path = shard_path(folder, shard.number)
    write_rows(path, rows, schema_of(dict(run=run), masks=False))
    return path


def test_what_is_missing(tmp_path):
    begin(tmp_path, MANIFEST)
    assert missing_shards(tmp_path, MANIFEST, SHARDS) == SHARDS
    path = finish(tmp_path, SHARDS[1])
    (tmp_path / ".shard-0000002-xyz.lbwpart.parquet").write_bytes(b"half")
    assert is_done(path, SHARDS[1], MANIFEST.run)
    begin(tmp_path, MANIFEST)
    assert missing_shards(tmp_path, MANIFEST, SHARDS) == [SHARDS[0], SHARDS[2]]
    assert shard_paths(tmp_path, SHARDS)[1] == path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(images=6), "the number of images in the source"),
        (dict(source_digest="x"), "the source (names, sizes or times of its files)"),
        (dict(artifact_digest="x"), "the artifact"),
        (dict(shard_size=3), "--shard-size"),
        (dict(score_threshold=0.5, shard_size=3), "--shard-size, --score-thr"),
    ],
)
def test_another_run_is_refused(tmp_path, change, words):
    begin(tmp_path, MANIFEST)
    other = dataclasses.replace(MANIFEST, **change)
    assert other.run != MANIFEST.run
    for look in (check_folder, begin):
        with pytest.raises(DataError) as refused:
            look(tmp_path, other)
        assert f"begun with something else, of which {words} changed since" in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_what_does_not_decide_may_change(tmp_path):
    begin(tmp_path, MANIFEST)
    other = dataclasses.replace(MANIFEST, source="../images", artifact="other/m.lbw")
    begin(tmp_path, other)
    assert json.loads((tmp_path / NAME).read_text())["source"] == "images"


def test_folders_with_other_things(tmp_path):
    check_folder(tmp_path / "not there", MANIFEST)
    check_folder(tmp_path, MANIFEST)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: a file is there"):
        check_folder(tmp_path / "file", MANIFEST)
    with pytest.raises(DataError, match="a folder with other things in it"):
        check_folder(tmp_path, MANIFEST)


@pytest.mark.parametrize("content", ["{", "[]", '{"classes": 1}', "{}", "\ud800"])
def test_a_damaged_manifest(tmp_path, content):
    (tmp_path / NAME).write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match="damaged, or of another version"):
        check_folder(tmp_path, MANIFEST)


def test_shards_of_others(tmp_path):
    begin(tmp_path, MANIFEST)
    for options in (dict(run="other"), dict(count=1)):
        path = finish(tmp_path, SHARDS[0], **options)
        with pytest.raises(DataError, match=rf"{path.name}: not of this run"):
            missing_shards(tmp_path, MANIFEST, SHARDS)
    finish(tmp_path, SHARDS[0])
    path.with_name("more.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"more\.parquet: none of this run's 3 shards"):
        missing_shards(tmp_path, MANIFEST, SHARDS)
