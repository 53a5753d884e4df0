import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

import lbwdet.compat  # noqa: F401  (first: mmdet.datasets imports mmcv.ops)

# isort: split
from mmdet.datasets import CocoDataset

from lbwdet.bulk.coco import images_path, write_coco
from lbwdet.deploy.runtime.masks import Mask

CLASSES = ("cat", "</dog>")


def read(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(images_path(path))).loadRes(str(path))


def test_pycocotools_reads_it(tmp_path, rows):
    path = tmp_path / "boxes.json"
    write_coco(path, iter(rows), CLASSES)
    found = read(path)
    assert found.getImgIds() == [1, 2]  # the third could not be used
    assert found.loadImgs([1])[0]["file_name"] == "a/1.jpg"
    first, second = found.loadAnns(found.getAnnIds([1]))
    assert first["bbox"] == pytest.approx([1.4, 2.6, 28.6, 37.4]) and first["score"] == 0.75
    assert found.loadCats([first["category_id"]])[0]["name"] == "</dog>"
    assert found.loadCats([second["category_id"]])[0]["name"] == "cat"
    assert found.getAnnIds([2]) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["boxes.images.json", "boxes.json"]


def test_mmdetection_reads_the_images(tmp_path, rows):
    path = tmp_path / "boxes.json"
    write_coco(path, iter(rows), CLASSES)
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = CocoDataset(
            ann_file=str(images_path(path)),
            data_prefix=dict(img=""),
            metainfo=dict(classes=CLASSES),
            test_mode=True,
            pipeline=[],
        )
    assert [dataset.get_data_info(place)["img_id"] for place in (0, 1)] == [1, 2]
    assert dataset.get_data_info(0)["width"] == 60


def test_masks(tmp_path, rows):
    row = rows[0]
    mask = Mask((40, 60), np.array([5, 7, 2388], np.uint32))
    row["masks"] = [mask.coco()["counts"]] * 2
    path = tmp_path / "boxes.json"
    write_coco(path, iter([row]), CLASSES)
    found = read(path)
    for annotation in found.loadAnns(found.getAnnIds([1])):
        assert (found.annToMask(annotation) == mask.pixels()).all()


def test_nothing_found(tmp_path, rows):
    path = tmp_path / "boxes.json"
    write_coco(path, iter(rows[2:]), CLASSES)
    assert json.loads(path.read_text()) == []
    assert json.loads(images_path(path).read_text())["images"] == []
