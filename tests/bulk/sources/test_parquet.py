import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lbwdet.bulk.sources.parquet import list_parquet
from lbwdet.errors import DataError
from lbwdet.images import read_image


def write(path, /, row_group_size=None, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)


def entries(listing):
    return [entry for shard in listing.shards for entry in listing.reader.entries(shard)]


@pytest.fixture
def data(images):
    return [path.read_bytes() for path in sorted(images.iterdir())]


@pytest.mark.parametrize("row_group_size", [1, 3, 50])
@pytest.mark.parametrize("size", [1, 2, 20, 50])
def test_bytes_in_any_row_groups(tmp_path, data, size, row_group_size):
    many = data * 8
    write(tmp_path / "a.parquet", number=[*range(40)], picture=many, row_group_size=row_group_size)
    write(tmp_path / "b.parquet", number=[1], picture=data[:1])
    listing = list_parquet(tmp_path, ["a.parquet", "b.parquet"], size, None)
    found = entries(listing)
    assert [entry.name for entry in found[:2]] == ["a.parquet#0", "a.parquet#1"]
    assert [entry.load.args[0] for entry in found] == [*many, data[0]]
    assert found[-1].name == "b.parquet#0" and found[-1].load().shape == (40, 60, 3)
    with pytest.raises(DataError, match=r"a\.parquet#2: not an image"):
        found[2].load()


def test_paths_and_what_has_both(tmp_path, images, data):
    both = [
        dict(bytes=data[0], path="x.jpg"),
        dict(bytes=None, path="images/b.jpg"),
        dict(bytes=None, path=None),
        None,
    ]
    write(tmp_path / "a.parquet", path=["images/a.jpg", "images/b.jpg", None, ""], image=both)
    by_path = entries(list_parquet(tmp_path, ["a.parquet"], 3, "path"))
    by_both = entries(list_parquet(tmp_path, ["a.parquet"], 3, None))
    for place, name in enumerate(["a.jpg", "b.jpg"]):
        for found in (by_path, by_both):
            assert (found[place].load() == read_image(images / name)).all()
    for found in (by_path[2], by_both[2], by_both[3]):
        with pytest.raises(DataError, match="no image in this row"):
            found.load()
    with pytest.raises(DataError, match="not a regular file"):
        by_path[3].load()


def test_columns_that_are_not_there(tmp_path):
    write(tmp_path / "a.parquet", number=[1], name=["x"])
    columns = r"its columns are number \(int64\), name \(.*string\): .* by --column"
    for column, what in ((None, "'image' is not there"), ("number", "is neither bytes nor text")):
        with pytest.raises(DataError, match=rf"a\.parquet: the column .*{what}; {columns}"):
            list_parquet(tmp_path, ["a.parquet"], 3, column)
    assert list_parquet(tmp_path, ["a.parquet"], 3, "name").images == 1


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataError, match=r"a\.parquet: no Parquet file that can be read"):
        list_parquet(tmp_path, ["a.parquet"], 3, None)
    write(tmp_path / "b.parquet", image=pa.array([], pa.binary()))
    with pytest.raises(DataError, match=r"b\.parquet: no rows"):
        list_parquet(tmp_path, ["b.parquet"], 3, None)


def test_another_column_is_another_source(tmp_path, data):
    write(tmp_path / "a.parquet", image=data, other=data)
    digests = {list_parquet(tmp_path, ["a.parquet"], 3, name).digest for name in ("image", "other")}
    assert len(digests) == 2


def test_rows_that_have_gone_since(tmp_path, data):
    write(tmp_path / "a.parquet", image=data)
    listing = list_parquet(tmp_path, ["a.parquet"], 3, None)
    write(tmp_path / "a.parquet", image=data[:2])
    with pytest.raises(DataError, match="2 of 3 images of shard 0"):
        entries(listing)


def test_a_damaged_page(tmp_path, data):
    write(tmp_path / "a.parquet", image=data)
    listing = list_parquet(tmp_path, ["a.parquet"], 3, None)
    with (tmp_path / "a.parquet").open("r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 64)
    with pytest.raises(DataError, match=r"a\.parquet: damaged: "):
        entries(listing)
