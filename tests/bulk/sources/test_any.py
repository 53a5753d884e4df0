import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lbwdet.bulk.sources.any import list_source
from lbwdet.errors import ConfigError, DataError


@pytest.fixture
def tar(tmp_path, images):
    folder = tmp_path / "tars"
    folder.mkdir()
    for name in ("train-1.tar", "train-0.tar"):
        with tarfile.open(folder / name, "w") as tar:
            info = tarfile.TarInfo("a.jpg")
            data = (images / "a.jpg").read_bytes()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return folder


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    pq.write_table(pa.table(dict(image=[b"1", b"2"])), folder / "b.parquet")
    pq.write_table(pa.table(dict(image=[b"3"])), folder / "a.parquet")
    (folder / "_metadata.parquet").write_bytes(b"for readers of folders")
    return folder


def names(listing):
    return [entry.name for shard in listing.shards for entry in listing.reader.entries(shard)]


def test_every_kind(images, tar, table, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("images/a.jpg\n")
    cases = [
        (images, "folder", 5),
        (images / "a.jpg", "image", 1),
        (listed, "list", 1),
        (tar / "train-0.tar", "tar", 1),
        (tar, "tar", 2),
        (table / "b.parquet", "parquet", 2),
        (table, "parquet", 3),
    ]
    for source, kind, count in cases:
        listing = list_source(source, 2)
        assert (listing.kind, listing.images) == (kind, count)
    assert names(list_source(tar / "train-*.tar", 2)) == ["train-0.tar/a.jpg", "train-1.tar/a.jpg"]
    assert names(list_source(table, 2)) == ["a.parquet#0", "b.parquet#0", "b.parquet#1"]


def test_a_pattern_of_this_folder(tar, monkeypatch):
    monkeypatch.chdir(tar)
    assert list_source("*-1.tar", 2).images == 1


@pytest.mark.parametrize("name", ["missing", "none-*.tar", "a\0b"])
def test_nothing_there(tmp_path, name):
    with pytest.raises(DataError, match="no such file or folder; a source is a folder of images"):
        list_source(tmp_path / name, 2)


def test_folders_and_files_of_no_kind(tmp_path, images, tar):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: nothing to look at in this folder"):
        list_source(tmp_path / "empty", 2)
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"a\.zip: a file of no kind that is read here"):
        list_source(tmp_path / "a.zip", 2)
    (tar / "a.jpg").write_bytes((images / "a.jpg").read_bytes())
    with pytest.raises(DataError, match="tars: images, tar files or Parquet files side by side"):
        list_source(tar, 2)


def test_a_column_is_of_parquet(images, table):
    with pytest.raises(ConfigError, match=r"--column x: .*images is no Parquet"):
        list_source(images, 2, "x")
    assert list_source(table, 2, "image").images == 3
