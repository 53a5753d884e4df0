import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from lbwdet.configs import set_data_root
from lbwdet.datasets import check_data
from lbwdet.errors import ConfigError, DataError

CONFIGS = Path(__file__).parents[2] / "configs" / "_base_" / "datasets"


def _config(name: str, root: Path | None = None) -> Config:
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    if root is not None:
        set_data_root(cfg, root)
    return cfg


def _message(cfg: Config, **kwargs) -> str:
    with pytest.raises(DataError) as caught:
        check_data(cfg, **kwargs)
    return str(caught.value)


def test_complete_data_passes(toy_root):
    check_data(_config("toy", toy_root))


def test_no_data_names_folder_and_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = _message(_config("toy"))
    assert f"looked in {tmp_path}/data/toy" in message
    assert "train/val/test: data/toy: no such folder" in message
    assert "python tools/make_toy_data.py --root data/toy/" in message and "make demo" in message
    assert not (tmp_path / "data").exists()  # nothing was written


@pytest.mark.parametrize("variable, name", [("LBWDET_BCCD", "bccd"), ("LBWDET_VOC", "voc0712")])
def test_environment_variable_names_the_root(monkeypatch, tmp_path, variable, name):
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    message = _message(_config(name))
    assert f"{tmp_path}/nowhere: no such folder" in message and f"export {variable}=" in message


def test_voc_names_its_archives(tmp_path):
    message = _message(_config("voc0712", tmp_path))
    for archive in ("VOCtrainval_06-Nov-2007", "VOCtest_06-Nov-2007", "VOCtrainval_11-May-2012"):
        assert archive in message
    assert "host.robots.ox.ac.uk/pascal/VOC" in message and "data/VOCdevkit" in message
    # Both years, inside RepeatDataset and ConcatDataset.
    for year in ("VOC2007", "VOC2012"):
        assert f"train: {tmp_path}/{year}/ImageSets/Main/trainval.txt: no such file" in message


def test_missing_files_are_named_and_counted(toy_root, tmp_path):
    root = tmp_path / "toy"
    shutil.copytree(toy_root, root)
    for index in range(7):
        (root / f"VOC2007/JPEGImages/trainval_{index:05d}.jpg").unlink()
    (root / "VOC2007/Annotations/test_00002.xml").unlink()
    message = _message(_config("toy", root))
    assert "JPEGImages: 7 of 12 images missing: trainval_00000, " in message
    assert "trainval_00004 and 2 more (looked for .jpg, " in message
    assert "val/test:" in message and "Annotations: 1 of 6 missing: test_00002.xml" in message
    check = _message(_config("toy", root), splits=("test",))
    assert "trainval" not in check


def test_missing_and_empty_list(toy_root, tmp_path):
    root = tmp_path / "toy"
    shutil.copytree(toy_root, root)
    (root / "VOC2007/ImageSets/Main/trainval.txt").write_text("\n")
    (root / "VOC2007/ImageSets/Main/test.txt").unlink()
    shutil.rmtree(root / "VOC2007/JPEGImages")
    message = _message(_config("toy", root))
    assert "trainval.txt: names no image" in message
    assert "test.txt: no such file" in message
    assert "JPEGImages: no such folder" in message


def test_other_formats_and_absent_loaders_are_left_alone(tmp_path):
    coco = dict(type="CocoDataset", data_root=str(tmp_path / "none"), ann_file="a.json")
    check_data(Config(dict(train_dataloader=dict(dataset=coco), val_dataloader=None)))
    check_data(Config(dict(model=dict(type="FasterRCNN"))))


def test_types_with_scope_and_hint_of_our_own(tmp_path):
    dataset = dict(type="mmdet.VOCDataset", data_root=str(tmp_path / "none"), ann_file="a.txt")
    message = _message(Config(dict(test_dataloader=dict(dataset=dataset))))
    assert "test: " in message and "--data-root ROOT" in message


def test_data_root_reaches_every_nested_data_set(tmp_path):
    cfg = _config("voc0712", tmp_path)
    assert cfg.data_root == str(tmp_path)
    parts = cfg.train_dataloader.dataset.dataset.datasets
    roots = [part.data_root for part in parts]
    roots += [cfg.val_dataloader.dataset.data_root, cfg.test_dataloader.dataset.data_root]
    assert roots == [str(tmp_path)] * 4
    assert "LBWVOCDataset" in cfg.pretty_text  # still a whole config


def test_data_root_must_be_one(tmp_path):
    with pytest.raises(ConfigError, match="no such data set"):
        set_data_root(Config(dict(a=1)), tmp_path)
    cfg = _config("toy")
    cfg.test_dataloader.dataset.data_root = "elsewhere"
    with pytest.raises(ConfigError, match="different roots: data/toy/, elsewhere"):
        set_data_root(cfg, tmp_path)


def test_only_names_are_looked_at(toy_root, tmp_path):
    """Files without content pass: 16,551 images take a fraction of a second."""
    root = tmp_path / "toy"
    shutil.copytree(toy_root, root)
    for path in (*root.rglob("*.jpg"), *root.rglob("*.xml")):
        path.write_bytes(b"")
    check_data(_config("toy", root))
