import os

import pytest

from lbwdet.bulk.sources.files import list_folder, list_image, list_lines
from lbwdet.errors import DataError


def names(listing):
    return [entry.name for shard in listing.shards for entry in listing.reader.entries(shard)]


def test_a_folder_and_those_below_it(images):
    (images / "z").mkdir()
    (images / "z" / "B.JPG").write_bytes((images / "b.jpg").read_bytes())
    (images / "notes.txt").write_text("no image")
    listing = list_folder(images, 4)
    assert names(listing) == ["a.jpg", "b.jpg", "c.jpg", "d.png", "e.bmp", "z/B.JPG"]
    assert listing.names == names(listing) and [s.count for s in listing.shards] == [4, 2]
    last = list(listing.reader.entries(listing.shards[1]))[-1]
    assert last.load().shape == (50, 30, 3)
    third = list(listing.reader.entries(listing.shards[0]))[2]
    with pytest.raises(DataError, match=r"c\.jpg: not an image"):
        third.load()
    os.utime(images / "a.jpg", (1, 1))
    assert list_folder(images, 4).digest != listing.digest


def test_nothing_there(tmp_path):
    assert list_folder(tmp_path, 4) is None


def test_one_image(images):
    listing = list_image(images / "a.jpg", 4)
    assert names(listing) == ["a.jpg"] and listing.images == 1


def test_a_list_keeps_its_order(images, tmp_path):
    listed = tmp_path / "list.txt"
    other = tmp_path / "other.jpg"
    other.write_bytes((images / "b.jpg").read_bytes())
    lines = ["images/d.png", "", "missing.jpg", str(other), "images/d.png"]
    listed.write_text("\ufeff" + "\r\n".join(lines))
    listing = list_lines(listed, 2)
    assert names(listing) == [line for line in lines if line] and listing.names is None
    entries = [entry for shard in listing.shards for entry in listing.reader.entries(shard)]
    assert [entries[place].load().shape[:2] for place in (0, 2)] == [(33, 47), (50, 30)]
    with pytest.raises(DataError, match=r"missing\.jpg: no such file"):
        entries[1].load()


def test_no_list(tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"list\.txt: no list of images in UTF-8"):
        list_lines(listed, 2)
    listed.write_text("\n \n")
    with pytest.raises(DataError, match=r"list\.txt: names no image"):
        list_lines(listed, 2)
