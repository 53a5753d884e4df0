import io
import pickle
import tarfile

import pytest

from lbwdet.bulk.sources.tars import list_tars
from lbwdet.errors import DataError
from lbwdet.images import read_image


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was opened')",)


def write(path, members, mode="w", **options):
    with tarfile.open(path, mode, **options) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def entries(listing):
    return [entry for shard in listing.shards for entry in listing.reader.entries(shard)]


@pytest.fixture
def members(images):
    """As WebDataset writes them: what belongs to an image stands beside it."""
    bomb = pickle.dumps(Bomb())
    return [
        (f"{path.stem}{suffix}", data)
        for path in sorted(images.iterdir())
        for suffix, data in (
            (path.suffix, path.read_bytes()),
            (".json", b"{}"),
            (".pyd", bomb),
            (".pickle", bomb),
        )
    ]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("size", [1, 2, 9])
def test_images_alone_are_opened(tmp_path, images, members, size, format):
    long = f"{'d' * 90}/{'x' * 60}\u00e9.jpg"  # takes a header of its own before it
    write(tmp_path / "a.tar", [*members, (long, members[0][1])], format=format)
    write(tmp_path / "b.tar", [("../../evil.jpg", members[0][1])])
    listing = list_tars(tmp_path, ["a.tar", "b.tar"], size)
    assert listing.images == 7
    names = []
    for shard in listing.shards:
        for entry in listing.reader.entries(shard):
            names.append(entry.name)
            if entry.name == "a.tar/c.jpg":
                with pytest.raises(DataError, match=r"a\.tar/c\.jpg: not an image"):
                    entry.load()
            elif entry.name.endswith("d.png"):
                assert (entry.load() == read_image(images / "d.png")).all()
            else:
                assert entry.load().shape[2] == 3
    assert names[:2] == ["a.tar/a.jpg", "a.tar/b.jpg"]
    assert names[-2:] == [f"a.tar/{long}", "b.tar/../../evil.jpg"]


def test_what_is_no_plain_file_is_passed_over(tmp_path, members):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo("link.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    with pytest.raises(DataError, match=r"a\.tar: no image in it"):
        list_tars(tmp_path, ["a.tar"], 2)


def test_an_empty_member_is_a_broken_image(tmp_path):
    write(tmp_path / "a.tar", [("a.jpg", b"")])
    (entry,) = entries(list_tars(tmp_path, ["a.tar"], 2))
    with pytest.raises(DataError, match=r"a\.tar/a\.jpg: 0 bytes"):
        entry.load()


def test_tars_that_cannot_be_read_whole(tmp_path, members):
    write(tmp_path / "whole.tar", members)
    data = (tmp_path / "whole.tar").read_bytes()
    damaged = bytearray(data)
    second = len(data) // 2 // 512 * 512
    while not damaged[second : second + 100].startswith((b"c", b"d")):
        second += 512
    damaged[second + 150] ^= 1  # in the checksum of a header
    cases = {
        "no.tar": b"no tar file at all" * 60,
        "short.tar": data[: len(data) // 2 + 100],
        "cut.tar": data[:second],
        "damaged.tar": bytes(damaged),
        "empty.tar": b"",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: (no tar file|truncated or damaged)"):
            list_tars(tmp_path, [name], 2)


def test_compressed_ones_are_refused(tmp_path, members):
    write(tmp_path / "a.tar", members, "w:gz")
    with pytest.raises(DataError, match=r"a\.tar: no tar file .* must not be compressed"):
        list_tars(tmp_path, ["a.tar"], 2)


def test_members_that_have_gone_since(tmp_path, members):
    write(tmp_path / "a.tar", members)
    listing = list_tars(tmp_path, ["a.tar"], 9)
    write(tmp_path / "a.tar", members[:8])
    with pytest.raises(DataError, match="2 of 5 images of shard 0"):
        entries(listing)
