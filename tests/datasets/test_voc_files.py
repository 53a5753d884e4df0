from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbwdet.datasets.voc_files import find_image, read_annotation, read_ids
from lbwdet.errors import DataError

GOOD = """<annotation><filename>a.jpg</filename>
<size><width>60</width><height>40</height><depth>3</depth></size>
<object><name> cat </name><difficult>1</difficult>
<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>
<bndbox><xmin>3</xmin><ymin>4.7</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object>
<object><name>dog</name>
<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>7</xmax><ymax>8</ymax></bndbox></object>
</annotation>"""


def _write(folder: Path, text: str | bytes) -> Path:
    path = folder / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_annotation_is_read(tmp_path):
    annotation = read_annotation(_write(tmp_path, GOOD))
    assert annotation.size == (60, 40)
    assert annotation.objects == [("cat", (3, 4, 20, 30), True), ("dog", (5, 6, 7, 8), False)]
    without_size = GOOD.replace("size>", "extent>")
    assert read_annotation(_write(tmp_path, without_size)).size is None


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("<name>dog</name>", "", r"object 2 has no <name>"),
        ("<name>dog</name>", "<name> </name>", r"object 2 has no <name>"),
        ("<xmax>7</xmax>", "", r"object 2 \(dog\) has no <xmax>"),
        ("<xmax>7</xmax>", "<xmax>wide</xmax>", r"object 2 \(dog\): <xmax> is 'wide', not a"),
        ("<xmax>7</xmax>", "<xmax>nan</xmax>", r"<xmax> is 'nan'"),
        ("<xmax>7</xmax>", "<xmax>1e999</xmax>", r"<xmax> is '1e999'"),
        ("<xmax>7</xmax>", "<xmax/>", r"<xmax> is ''"),
        ("difficult>1<", "difficult>maybe<", r"object 1 \(cat\): <difficult> is 'maybe'"),
        ("<width>60</width>", "", r"size has no <width>"),
        ("</annotation>", "", r"malformed XML"),
        ("<bndbox><xmin>5", "<box><xmin>5", r"malformed XML"),
        (GOOD, "", r"malformed XML"),
    ],
)
def test_wrong_annotation_names_file_and_field(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(DataError, match=rf"a\.xml: .*{message}"):
        read_annotation(_write(tmp_path, GOOD.replace(old, new)))


def test_missing_bndbox_and_missing_file(tmp_path):
    text = "<annotation><object><name>cat</name></object></annotation>"
    with pytest.raises(DataError, match=r"object 1 \(cat\) has no <bndbox>"):
        read_annotation(_write(tmp_path, text))
    with pytest.raises(DataError, match=r"none\.xml: cannot be read"):
        read_annotation(tmp_path / "none.xml")


@given(
    start=st.integers(0, len(GOOD)),
    length=st.integers(0, 30),
    put=st.binary(max_size=8) | st.sampled_from([b"&x;", b"<!DOCTYPE a>", b'<?xml encoding="q"?>']),
)
@settings(max_examples=150, deadline=None)
def test_damaged_annotation_is_read_or_refused_by_name(tmp_path_factory, start, length, put):
    """Whatever bytes are put in place of others: a result or a DataError, nothing else."""
    data = GOOD.encode()
    path = _write(tmp_path_factory.getbasetemp(), data[:start] + put + data[start + length :])
    try:
        annotation = read_annotation(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert all(name for name, _, _ in annotation.objects)


def test_ids_drop_blanks(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a\r\n b \n\n")
    assert read_ids(path) == ["a", "b"]
    path.write_bytes(b"\xef\xbb\xbfa\r\nb")  # a byte-order mark
    assert read_ids(path) == ["a", "b"]
    path.write_bytes("a\nb".encode("utf-16"))
    with pytest.raises(DataError, match=r"list\.txt: cannot be read as a list of images in UTF-8"):
        read_ids(path)
    with pytest.raises(DataError, match=r"none\.txt: cannot be read"):
        read_ids(tmp_path / "none.txt")


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".Png", ".webp", ".TIF", ".tiff", ".bmp"])
def test_image_is_found_whatever_its_suffix(tmp_path, suffix):
    (tmp_path / f"a{suffix}").touch()
    assert find_image(tmp_path, "a") == str(tmp_path / f"a{suffix}")
    assert find_image(tmp_path, "b") is None
