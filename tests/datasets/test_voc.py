import inspect
import logging
import os
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.datasets import VOCDataset
from mmdet.evaluation import VOCMetric
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from PIL import Image

from lbwdet.configs import set_data_root
from lbwdet.datasets import LBWVOCDataset
from lbwdet.datasets.odd_images import name_odd_images
from lbwdet.datasets.toy_drawing import CLASSES
from lbwdet.errors import ConfigError, DataError

CONFIGS = Path(__file__).parents[2] / "configs" / "_base_" / "datasets"
FIRST = "trainval_00000"


@pytest.fixture(scope="module", autouse=True)
def _registered():
    register_all_modules(init_default_scope=False)
    init_default_scope("mmdet")


@pytest.fixture
def root(toy_root, tmp_path) -> Path:
    """A toy data set of the test's own, to be damaged."""
    shutil.copytree(toy_root, tmp_path / "toy")
    return tmp_path / "toy"


def _settings(root, split="trainval", **kwargs) -> dict:
    return (
        dict(
            data_root=str(root),
            ann_file=f"VOC2007/ImageSets/Main/{split}.txt",
            data_prefix=dict(sub_data_root="VOC2007/"),
            metainfo=dict(classes=CLASSES),
            test_mode=split == "test",
        )
        | kwargs
    )


def _pipeline() -> list[dict]:
    return Config.fromfile(CONFIGS / "toy.py").train_pipeline


def _image(root, stem=FIRST) -> Path:
    return root / f"VOC2007/JPEGImages/{stem}.jpg"


def _set_boxes(root, *boxes, name="disc", stem=FIRST, size=(192, 160)) -> None:
    """Rewrites an annotation with the given one-based boxes."""
    keys = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    extent = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    path = root / f"VOC2007/Annotations/{stem}.xml"
    path.write_text(f"<annotation>{extent}{objects}</annotation>")


def _entries(dataset) -> list[dict]:
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def _same_entries(ours, theirs) -> bool:
    def plain(entry):
        paths = {key: os.path.normpath(entry[key]) for key in ("img_path", "xml_path")}
        return entry | paths

    return [plain(entry) for entry in _entries(ours)] == [plain(e) for e in _entries(theirs)]


@pytest.mark.parametrize("split", ["trainval", "test"])
def test_sound_data_is_read_as_mmdetection_reads_it(toy_root, split):
    extra = {} if split == "test" else dict(filter_cfg=dict(bbox_min_size=25))
    settings = _settings(toy_root, split, **extra)
    ours = LBWVOCDataset(**settings)
    assert _same_entries(ours, VOCDataset(**settings))
    if split == "trainval":
        flags = [item["ignore_flag"] for entry in _entries(ours) for item in entry["instances"]]
        assert {0, 1} == set(flags)  # the minimum size made a difference


@pytest.mark.parametrize(
    "variable, name", [("LBWDET_BCCD", "bccd"), ("LBWDET_VOC_SAMPLE", "voc-sample")]
)
def test_real_data_is_read_as_mmdetection_reads_it(variable, name):
    if variable not in os.environ:
        pytest.skip(f"{variable} does not name a data root")
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        settings = {key: value for key, value in loader.dataset.items() if key != "type"}
        ours, theirs = LBWVOCDataset(**settings), VOCDataset(**settings)
        degenerate = len(ours.annotation_report.degenerate)
        if not degenerate:
            assert _same_entries(ours, theirs)
        else:
            flags = [
                sum(
                    item["ignore_flag"]
                    for entry in _entries(dataset)
                    for item in entry["instances"]
                )
                for dataset in (ours, theirs)
            ]
            assert flags[0] == flags[1] + degenerate


def test_degenerate_boxes_of_bccd_are_found():
    if "LBWDET_BCCD" not in os.environ:
        pytest.skip("LBWDET_BCCD does not name a data root")
    cfg = Config.fromfile(CONFIGS / "bccd.py")
    found = []
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        dataset = DATASETS.build(loader.dataset)
        found += [case.split()[0] for case in dataset.annotation_report.degenerate]
    assert sorted(found) == ["BloodImage_00338", "BloodImage_00343"]


def test_bad_boxes_are_counted_and_harmless(root, caplog):
    _set_boxes(
        root,
        (10, 10, 10, 30),  # no width
        (30, 30, 20, 40),  # from right to left
        (200, 10, 220, 30),  # outside
        (0, 5, 250, 170),  # over the border
        (1, 1, 192, 160),  # exactly the image
    )
    with caplog.at_level(logging.WARNING, logger="mmengine"):
        dataset = LBWVOCDataset(**_settings(root, pipeline=_pipeline()))
    report = dataset.annotation_report
    counts = [len(report.degenerate), len(report.outside), len(report.clipped)]
    assert counts == [2, 1, 1]
    instances = dataset.get_data_info(0)["instances"]
    assert [item["ignore_flag"] for item in instances] == [1, 1, 1, 0, 0]
    assert instances[3]["bbox"] == [0, 4, 191, 159]
    assert instances[4]["bbox"] == [0, 0, 191, 159]
    boxes = dataset[0]["data_samples"].gt_instances.bboxes
    extents = boxes.tensor[:, 2:] - boxes.tensor[:, :2]
    assert len(boxes) == 2 and (extents > 0).all()


def test_report_is_logged_once_with_counts(root, monkeypatch):
    logged = []
    monkeypatch.setattr("lbwdet.datasets.voc._warn", logged.append)
    _set_boxes(root, (10, 10, 10, 30), (5, 5, 30, 30))
    _set_boxes(root, (5, 5, 30, 30), name="zebra", stem="trainval_00001")
    LBWVOCDataset(**_settings(root, metainfo=dict(classes=(*CLASSES, "moon"))))
    (message,) = logged
    assert "trainval.txt: 12 images, " in message
    assert "1 boxes without area, ignored: trainval_00000 disc [9, 9, 9, 29]" in message
    assert "1 class names that metainfo does not have" in message and "zebra x1" in message
    assert "1 classes of metainfo without a box: moon" in message


def test_sound_data_is_not_worth_a_word(toy_root, monkeypatch):
    monkeypatch.setattr("lbwdet.datasets.voc._warn", pytest.fail)
    LBWVOCDataset(**_settings(toy_root))


def test_wrong_size_is_reported_and_the_image_is_right(root):
    _set_boxes(root, (5, 5, 190, 30), size=(100, 80))
    dataset = LBWVOCDataset(**_settings(root))
    assert dataset.annotation_report.wrong_size == [f"{FIRST} 192x160, said 100x80"]
    entry = dataset.get_data_info(0)
    assert (entry["width"], entry["height"]) == (192, 160)
    assert entry["instances"][0]["bbox"] == [4, 4, 189, 29]


def test_malformed_annotation_stops_whatever_the_option(root):
    (root / f"VOC2007/Annotations/{FIRST}.xml").write_text("<annotation><object>")
    for choice in ("stop", "skip"):
        with pytest.raises(DataError, match=rf"{FIRST}\.xml: malformed XML"):
            LBWVOCDataset(**_settings(root, bad_images=choice))


def _damage(root, stem, how) -> None:
    path = _image(root, stem)
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(dict(empty=b"", foreign=b"hello", truncated=data[: len(data) // 2])[how])


@pytest.mark.parametrize("split", ["trainval", "test"])
@pytest.mark.parametrize("how", ["missing", "empty", "foreign", "truncated"])
def test_bad_image_stops_or_is_left_out(root, split, how):
    stem = f"{split}_00003"
    _damage(root, stem, how)
    with pytest.raises(DataError, match=rf"1 of \d+ images .*{stem}.*bad_images='skip'"):
        LBWVOCDataset(**_settings(root, split, bad_images="stop"))
    dataset = LBWVOCDataset(**_settings(root, split))
    assert len(dataset) == (12 if split == "trainval" else 6) - 1
    assert stem not in [entry["img_id"] for entry in _entries(dataset)]
    assert len(dataset.annotation_report.bad_images) == 1


def test_no_image_left_is_an_error(root):
    for index in range(6):
        _damage(root, f"test_{index:05d}", "empty")
    with pytest.raises(DataError, match="none of its images is left"):
        LBWVOCDataset(**_settings(root, "test", bad_images="skip"))


def _looks_sound_but_is_not(root, stem=FIRST) -> None:
    """Header and trailer stand, the tables between them are gone."""
    path = _image(root, stem)
    data = bytearray(path.read_bytes())
    start = data.index(b"\xff\xdb")  # quantization tables, before the frame header
    data[start + 2 : start + 4] = b"\x00\x00"  # an impossible segment length
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("in_training", [False, True])
def test_image_that_fails_to_decode_later(root, monkeypatch, in_training):
    monkeypatch.setattr(BaseDataset, "prepare_data", inspect.unwrap(BaseDataset.prepare_data))
    if in_training:  # its rule for any data set leaves this one its own
        name_odd_images()
    kwargs = dict(pipeline=_pipeline())
    stop = LBWVOCDataset(**_settings(root, bad_images="stop", **kwargs))
    skip = LBWVOCDataset(**_settings(root, bad_images="skip", **kwargs))
    testing = LBWVOCDataset(**_settings(root, test_mode=True, bad_images="skip", **kwargs))
    _looks_sound_but_is_not(root)
    for dataset in (stop, testing):
        with pytest.raises(DataError, match=rf"{FIRST}\.jpg: cannot be decoded"):
            dataset[0]
    logged = []
    monkeypatch.setattr("lbwdet.datasets.voc._warn", logged.append)
    np.random.seed(3)
    assert skip[0]["data_samples"].img_id != FIRST
    assert FIRST in logged[0]


@pytest.mark.parametrize("test_mode", [False, True])
def test_images_that_the_pipeline_cannot_take_are_left_out_at_once(root, test_mode):
    thin = np.zeros((1, 20_000, 3), np.uint8)  # Resize would make it 0 pixels high
    cv2.imwrite(str(_image(root)), thin)
    settings = dict(pipeline=_pipeline(), test_mode=test_mode)
    dataset = LBWVOCDataset(**_settings(root, **settings))
    assert FIRST not in [entry["img_id"] for entry in _entries(dataset)]
    (reason,) = dataset.annotation_report.bad_images
    assert f"{FIRST}.jpg: 20000 x 1 pixels: " in reason
    with pytest.raises(DataError, match="1 of 12 images cannot be used"):
        LBWVOCDataset(**_settings(root, bad_images="stop", **settings))


def test_a_test_loop_never_meets_a_jpeg_without_its_middle(root):
    _looks_sound_but_is_not(root)
    dataset = LBWVOCDataset(**_settings(root, pipeline=_pipeline(), test_mode=True))
    (reason,) = dataset.annotation_report.bad_images
    assert re.search(rf"{FIRST}\.jpg: \d+ x \d+ pixels: .*cannot be decoded", reason)
    assert [dataset[index]["data_samples"].img_id for index in range(11)].count(FIRST) == 0
    with pytest.raises(DataError, match="1 of 12 images cannot be used"):
        LBWVOCDataset(**_settings(root, test_mode=True, pipeline=_pipeline(), bad_images="stop"))


def test_a_test_loop_never_meets_an_image_that_cannot_be_decoded(root):
    path = _image(root)
    data = bytearray(cv2.imencode(".png", cv2.imread(str(path)))[1].tobytes())
    path.unlink()
    place = data.index(b"IDAT")
    data[place : place + 2000] = bytes(2000)
    path.with_suffix(".png").write_bytes(bytes(data))
    dataset = LBWVOCDataset(**_settings(root, pipeline=_pipeline(), test_mode=True))
    assert len(dataset) == 11 and FIRST in dataset.annotation_report.bad_images[0]


@pytest.mark.parametrize(("color", "size"), [("color", (160, 192)), ("unchanged", (192, 160))])
@pytest.mark.parametrize("suffix", ["", "_ignore_orientation"])
def test_the_size_is_that_of_the_pipelines_image(root, color, size, suffix):
    if color == "unchanged" and suffix:
        return
    path = _image(root)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif, quality=95)
    pipeline = [dict(type="LoadImageFromFile", color_type=color + suffix)]
    dataset = LBWVOCDataset(**_settings(root, pipeline=pipeline, test_mode=True))
    entry = _entries(dataset)[0]
    expected = (192, 160) if suffix else size
    assert (entry["width"], entry["height"]) == expected == dataset[0]["img"].shape[1::-1]


def test_failure_of_another_step_is_not_blamed_on_the_image(root):
    pipeline = [dict(type="LoadImageFromFile"), dict(type="Resize", scale=(-1, -1))]
    dataset = LBWVOCDataset(**_settings(root, pipeline=pipeline, bad_images="skip"))
    with pytest.raises(Exception) as caught:
        dataset[0]
    assert not isinstance(caught.value, DataError)


@pytest.mark.parametrize("suffix", [".png", ".jpeg", ".JPG"])
def test_other_suffixes(root, suffix):
    path = _image(root)
    cv2.imwrite(str(path.with_suffix(suffix)), cv2.imread(str(path)))
    path.unlink()
    dataset = LBWVOCDataset(**_settings(root, pipeline=_pipeline()))
    assert dataset[0]["inputs"].shape == (3, 160, 192)


def test_unknown_options(toy_root):
    with pytest.raises(ConfigError, match="bad_images='drop'; choose one of skip, stop"):
        LBWVOCDataset(**_settings(toy_root, bad_images="drop"))
    with pytest.raises(ConfigError, match="backend_args"):
        LBWVOCDataset(**_settings(toy_root, backend_args=dict(backend="petrel")))
    with pytest.raises(ConfigError, match="bbox_min_size"):
        LBWVOCDataset(**_settings(toy_root, "test", filter_cfg=dict(bbox_min_size=8)))


@pytest.mark.parametrize("mode", ["11points", "area"])
@pytest.mark.filterwarnings("error:Pascal VOC")
def test_metric_prints_our_class_names(toy_root, mode, monkeypatch):
    """A perfect detector: mAP 1, under the names of our classes, without a warning."""
    tables = []
    monkeypatch.setattr(
        "mmdet.evaluation.functional.mean_ap.print_log",
        lambda message, logger=None: tables.append(message),
    )
    dataset = LBWVOCDataset(**_settings(toy_root, "test"))
    metric = VOCMetric(metric="mAP", eval_mode=mode)
    metric.dataset_meta = dataset.metainfo
    results = []
    for entry in _entries(dataset):
        labels = np.array([item["bbox_label"] for item in entry["instances"]])
        boxes = np.array([item["bbox"] for item in entry["instances"]], np.float32)
        truth = dict(
            labels=labels,
            bboxes=boxes,
            bboxes_ignore=np.zeros((0, 4), np.float32),
            labels_ignore=np.zeros(0, int),
        )
        scored = np.concatenate([boxes, np.full((len(boxes), 1), 0.9, np.float32)], axis=1)
        results.append((truth, [scored[labels == label] for label in range(len(CLASSES))]))
    assert metric.compute_metrics(results)["mAP"] == pytest.approx(1)
    names = re.findall(r"^\| (\w+)", "\n".join(tables), flags=re.MULTILINE)
    assert names == ["class", *CLASSES, "mAP"]


def test_voc0712_config_reads_both_years(toy_root, tmp_path):
    """MMDetection's RepeatDataset of a ConcatDataset, over a stand-in for VOCdevkit."""
    for year in ("VOC2007", "VOC2012"):
        shutil.copytree(toy_root / "VOC2007", tmp_path / year)
    names = Config.fromfile(CONFIGS / "voc0712.py")
    for path in tmp_path.glob("VOC*/Annotations/*.xml"):
        tree = ET.parse(path)
        for name in tree.iterfind("object/name"):
            name.text = "cat"
        tree.write(path)
    set_data_root(names, tmp_path)
    train = DATASETS.build(names.train_dataloader.dataset)
    test = DATASETS.build(names.test_dataloader.dataset)
    parts = train.dataset.datasets
    assert all(type(part) is LBWVOCDataset for part in (*parts, test))
    assert len(train) == 3 * sum(map(len, parts)) == 72 and len(test) == 6
    assert train.metainfo["classes"] == test.metainfo["classes"] == VOCDataset.METAINFO["classes"]
    assert {item["img_path"].split("/")[-3] for part in parts for item in _entries(part)} == {
        "VOC2007",
        "VOC2012",
    }
    assert train[0]["inputs"].ndim == 3
