import os

import pytest

from lbwdet.bulk.listing import Listing, Shard, cut, digest_of, fitting
from lbwdet.errors import DataError


def where(first, count):
    return first, count


def test_shards_do_not_reach_over_the_end_of_a_part():
    shards = cut(3, [(4, where), (0, where), (3, where)])
    assert shards == [
        Shard(0, 0, 3, (0, 3)),
        Shard(1, 3, 1, (3, 1)),
        Shard(2, 4, 3, (0, 3)),
    ]
    assert Listing("folder", None, shards, "").images == 7


def test_another_file_is_another_source(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12")
    os.utime(path, (5, 5))
    files = [("a.jpg", path), ("missing.jpg", tmp_path / "missing.jpg"), ("\0", "\0")]
    before = digest_of(files)
    assert digest_of(files) == before
    os.utime(path, (5, 6))
    later = digest_of(files)
    path.write_bytes(b"123")
    os.utime(path, (5, 6))
    longer = digest_of(files)
    assert len({before, later, longer, digest_of(files[:1]), digest_of(files[1:])}) == 5


def test_as_many_images_as_were_listed():
    shard = Shard(7, 0, 3, ())
    fitting(3, shard, "a.tar")
    with pytest.raises(DataError, match=r"a\.tar: 2 of 3 images of shard 7 .* changed"):
        fitting(2, shard, "a.tar")
