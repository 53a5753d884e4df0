import shutil

import pytest
from mmengine.config import Config
from numpy.testing import assert_array_equal

from lbwdet.errors import DataError
from lbwdet.measuring.testset import load_test_set
from tests.tiny_detectors import CLASSES, write_config


def load(config, num_images=None):
    return load_test_set(Config.fromfile(config), num_images)


def test_ground_truth_in_original_pixels(tiny):
    test_set = load(tiny.float_config)
    assert test_set.classes == CLASSES
    assert [image.name for image in test_set.images] == ["000001", "000002", "000003"]
    truth = test_set.images[2].truth
    assert_array_equal(truth.boxes, [[4, 9, 44, 49], [59, 9, 99, 49]])  # VOC counts from 1
    assert_array_equal(truth.labels, [0, 1])
    assert_array_equal(truth.ignored, [False, True])
    assert test_set.load(2).shape == (80, 120, 3)


def test_the_first_images(tiny):
    assert len(load(tiny.float_config, num_images=2)) == 2
    assert len(load(tiny.float_config, num_images=99)) == 3


def test_description_holds_no_machine_path(tiny):
    description = load(tiny.float_config).description
    assert description == f"{tiny.root.name} VOC2007/ImageSets/Main/test.txt"


def test_difference_in_words(tiny, tmp_path):
    here = load(tiny.float_config)
    assert here.difference(load(tiny.six_bit_config)) is None
    fewer = load(tiny.float_config, num_images=2)
    assert here.difference(fewer) == "3 images against 2 (not in both: 000003)"
    others = load(write_config(tmp_path / "a.py", tiny.root, CLASSES[:2]))
    assert here.difference(others).startswith("classes cat, ")
    shutil.copytree(tiny.root, tmp_path / "moved")
    annotation = tmp_path / "moved/VOC2007/Annotations/000001.xml"
    annotation.write_text(annotation.read_text().replace("<xmin>5<", "<xmin>6<"))
    moved = load(write_config(tmp_path / "b.py", tmp_path / "moved"))
    assert here.difference(moved) == "the same images with other ground truth"


def test_an_unreadable_image_is_named(tiny, tmp_path):
    shutil.copytree(tiny.root, tmp_path / "data")
    test_set = load(write_config(tmp_path / "a.py", tmp_path / "data"))
    image = tmp_path / "data/VOC2007/JPEGImages/000002.jpg"
    image.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"000002.jpg: not an image of a kind"):
        test_set.load(1)
    image.unlink()
    with pytest.raises(DataError, match=r"000002.jpg"):
        test_set.load(1)


def test_missing_data(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        load(write_config(tmp_path / "a.py", tmp_path / "nowhere"))


def test_annotations_that_are_not_there(tiny, tmp_path):
    cfg = Config.fromfile(tiny.float_config)
    coco = dict(type="CocoDataset", data_root=str(tmp_path), ann_file="none.json", pipeline=[])
    cfg.test_dataloader.dataset = coco
    with pytest.raises(DataError, match=r"float\.py: data not found: .*none\.json"):
        load_test_set(cfg)


def test_images_that_were_exchanged_are_another_test(tiny, tmp_path):
    shutil.copytree(tiny.root, tmp_path / "data")
    config = write_config(tmp_path / "a.py", tmp_path / "data")
    before = load(config)
    assert load(config).files_digest == before.files_digest
    assert load(tiny.float_config).files_digest != before.files_digest
    image = tmp_path / "data/VOC2007/JPEGImages/000002.jpg"
    image.write_bytes(image.read_bytes() + b"0")
    after = load(config)
    assert after.digest == before.digest and after.files_digest != before.files_digest
