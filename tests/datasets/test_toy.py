import json
import shutil
from pathlib import Path

import cv2
import pytest

from lbwdet.cli import main
from lbwdet.datasets import toy
from lbwdet.datasets.toy import MANIFEST, make_toy_dataset
from lbwdet.datasets.voc_files import read_annotation, read_ids
from lbwdet.errors import ConfigError, DataError


def _contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_same_parameters_same_bytes(toy_root, tmp_path):
    make_toy_dataset(tmp_path / "again", num_trainval=12, num_test=6)
    assert _contents(tmp_path / "again") == _contents(toy_root)


def test_an_image_does_not_depend_on_how_many_there_are(toy_root, tmp_path):
    make_toy_dataset(tmp_path / "few", num_trainval=2, num_test=1)
    for name in ("trainval_00001", "test_00000"):
        few = tmp_path / "few/VOC2007/JPEGImages" / f"{name}.jpg"
        assert few.read_bytes() == (toy_root / f"VOC2007/JPEGImages/{name}.jpg").read_bytes()


def test_another_seed_gives_other_images(toy_root, tmp_path):
    manifest = make_toy_dataset(tmp_path / "other", seed=1, num_trainval=12, num_test=6)
    assert manifest["digest"] != json.loads((toy_root / MANIFEST).read_text())["digest"]


def test_layout_is_complete_and_counted(toy_root):
    manifest = json.loads((toy_root / MANIFEST).read_text())
    for split, images in (("trainval", 12), ("test", 6)):
        ids = read_ids(toy_root / f"VOC2007/ImageSets/Main/{split}.txt")
        assert len(set(ids)) == images
        boxes = 0
        for id_ in ids:
            annotation = read_annotation(toy_root / f"VOC2007/Annotations/{id_}.xml")
            image = cv2.imread(str(toy_root / f"VOC2007/JPEGImages/{id_}.jpg"))
            assert annotation.size == image.shape[1::-1] == (192, 160)
            boxes += len(annotation.objects)
        assert boxes == sum(manifest["boxes"][split].values())


def test_size_is_a_parameter(tmp_path):
    make_toy_dataset(tmp_path / "toy", num_trainval=1, num_test=1, size=(128, 96))
    image = cv2.imread(str(tmp_path / "toy/VOC2007/JPEGImages/test_00000.jpg"))
    assert image.shape == (96, 128, 3)


def test_complete_one_is_reused_without_drawing(toy_root, monkeypatch):
    monkeypatch.setattr(toy, "draw_image", None)
    assert make_toy_dataset(toy_root, num_trainval=12, num_test=6)["parameters"]["seed"] == 0


def test_other_parameters_are_refused(toy_root):
    with pytest.raises(DataError, match=r"made with .*'seed': 0.*asked for .*'seed': 7"):
        make_toy_dataset(toy_root, seed=7, num_trainval=12, num_test=6)


def test_changed_files_are_noticed(tmp_path):
    make_toy_dataset(tmp_path / "toy", num_trainval=1, num_test=1)
    (tmp_path / "toy/VOC2007/JPEGImages/test_00000.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="changed or are missing"):
        make_toy_dataset(tmp_path / "toy", num_trainval=1, num_test=1)


@pytest.mark.parametrize("name, text", [("notes.txt", "mine"), (MANIFEST, "{}"), (MANIFEST, "[]")])
def test_foreign_folder_is_refused_and_untouched(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="is not a toy data set"):
        make_toy_dataset(tmp_path, num_trainval=1, num_test=1)
    assert _contents(tmp_path) == {Path(name): text.encode()}


def test_empty_folder_is_filled(tmp_path):
    root = tmp_path / "toy"
    root.mkdir()
    make_toy_dataset(root, num_trainval=1, num_test=1)
    assert (root / MANIFEST).is_file()


def test_interrupted_drawing_leaves_nothing(tmp_path):
    def interrupted(jobs):
        yield jobs[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_toy_dataset(tmp_path / "toy", num_trainval=2, num_test=1, progress=interrupted)
    assert list(tmp_path.iterdir()) == []


def test_another_process_may_finish_first(tmp_path):
    root = tmp_path / "toy"

    def overtaken(jobs):
        yield from jobs
        make_toy_dataset(root, num_trainval=1, num_test=1)

    manifest = make_toy_dataset(root, num_trainval=1, num_test=1, progress=overtaken)
    assert manifest == json.loads((root / MANIFEST).read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


@pytest.mark.parametrize("bad", [dict(num_test=0), dict(size=(192, 50)), dict(seed=-1)])
def test_impossible_parameters(tmp_path, bad):
    with pytest.raises(ConfigError, match="allowed are"):
        make_toy_dataset(tmp_path / "toy", **bad)


def test_command_line(toy_root, capsys):
    command = ["make-toy-data", "--num-trainval", "12", "--num-test", "6", "--root"]
    assert main([*command, str(toy_root)]) == 0
    assert "test: 6 images" in capsys.readouterr().out
    assert main([*command, str(toy_root.parent)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_masks_of_the_same_images(toy_root):
    manifest = json.loads((toy_root / MANIFEST).read_text())
    for split in ("trainval", "test"):
        content = json.loads((toy_root / f"annotations/{split}.json").read_text())
        names = [image["file_name"] for image in content["images"]]
        ids = read_ids(toy_root / f"VOC2007/ImageSets/Main/{split}.txt")
        assert names == [f"{id_}.jpg" for id_ in ids]
        assert len(content["annotations"]) == sum(manifest["boxes"][split].values())


def test_an_older_data_set_gets_masks_and_is_left_as_it_is(toy_root, tmp_path):
    root = tmp_path / "toy"
    shutil.copytree(toy_root, root)
    manifest = json.loads((root / MANIFEST).read_text())
    del manifest["masks"]
    (root / MANIFEST).write_text(json.dumps(manifest))
    shutil.rmtree(root / "annotations")
    make_toy_dataset(root, num_trainval=12, num_test=6)
    assert _contents(root) == _contents(toy_root)


def test_changed_masks_are_noticed(tmp_path):
    make_toy_dataset(tmp_path / "toy", num_trainval=1, num_test=1)
    (tmp_path / "toy/annotations/test.json").write_text("{}")
    with pytest.raises(DataError, match="changed or are missing"):
        make_toy_dataset(tmp_path / "toy", num_trainval=1, num_test=1)
