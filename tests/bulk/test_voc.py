import pytest

import lbwdet.compat  # noqa: F401  (first: mmdet.datasets imports mmcv.ops)

# isort: split
from mmdet.datasets import XMLDataset

from lbwdet.bulk.voc import LIST, ids_of, write_voc
from lbwdet.datasets.voc_files import read_annotation, read_ids
from lbwdet.errors import DataError

CLASSES = ("cat", "</dog>\n")


def test_our_reader_reads_it(tmp_path, rows):
    out = tmp_path / "voc"
    write_voc(out, iter(rows), CLASSES, ids_of([row["image"] for row in rows]))
    assert read_ids(out / LIST) == ["a/1", "b"]
    found = read_annotation(out / "Annotations" / "a" / "1.xml")
    assert found.size == (60, 40)
    # Pixels are counted from 1, and boxes end with the image.
    assert [(thing.name, thing.box) for thing in found.objects] == [
        ("</dog>\\x0a", (2, 4, 31, 40)),
        ("cat", (1, 1, 60, 13)),
    ]
    assert read_annotation(out / "Annotations" / "b.xml").objects == []
    assert not (out / "Annotations" / "c.xml").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["voc"]


def test_mmdetection_reads_it(tmp_path, rows):
    out = tmp_path / "voc"
    write_voc(out, iter(rows), ("cat", "dog"), ids_of([row["image"] for row in rows]))
    dataset = XMLDataset(
        data_root=str(out),
        ann_file=LIST,
        data_prefix=dict(sub_data_root=""),
        metainfo=dict(classes=("cat", "dog")),
        test_mode=True,
        pipeline=[],
    )
    first, second = (dataset.get_data_info(place) for place in (0, 1))
    assert [thing["bbox"] for thing in first["instances"]] == [[1, 3, 30, 39], [0, 0, 59, 12]]
    assert [thing["bbox_label"] for thing in first["instances"]] == [1, 0]
    assert (second["width"], second["height"], second["instances"]) == (8, 9, [])


def test_names_of_strangers_are_no_paths(tmp_path, rows):
    rows[0]["image"] = "../../evil.tar/../a\x1b.jpg"
    write_voc(tmp_path / "voc", iter(rows), CLASSES, None)
    assert read_ids(tmp_path / "voc" / LIST) == ["000000000", "000000001"]
    text = (tmp_path / "voc" / "Annotations" / "000000000.xml").read_text()
    assert "<filename>../../evil.tar/../a\\x1b.jpg</filename>" in text
    assert [path.name for path in tmp_path.iterdir()] == ["voc"]


def test_two_images_of_one_name():
    with pytest.raises(DataError, match=r"a\.jpg and a\.png would both be a\.xml"):
        ids_of(["a.jpg", "a.png"])


def test_nothing_is_left_of_what_was_stopped(tmp_path, rows):
    def stopped():
        yield rows[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_voc(tmp_path / "voc", stopped(), CLASSES, None)
    assert list(tmp_path.iterdir()) == []
