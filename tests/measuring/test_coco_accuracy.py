"""Held against MMDetection's CocoMetric, which reads the annotations' own file."""

import json

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmengine.config import Config

from lbwdet.datasets.toy import make_toy_dataset
from lbwdet.datasets.toy_drawing import CLASSES
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.errors import DataError
from lbwdet.measuring.accuracy import Detections
from lbwdet.measuring.coco_accuracy import coco_accuracy
from lbwdet.measuring.testset import load_test_set
from tests.test_configs import CONFIGS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "toy"
    make_toy_dataset(folder, num_trainval=1, num_test=5)
    return folder


@pytest.fixture(scope="module")
def test_set(root):
    cfg = Config.fromfile(CONFIGS / "lbw_mask_rcnn_toy_fp32.py")
    cfg.test_dataloader.dataset.data_root = str(root)
    return load_test_set(cfg)


@pytest.fixture(scope="module")
def found(test_set):
    """The truth moved by some pixels, with a wrong label and a false one here and there."""
    random = np.random.default_rng(0)

    def moved(truth):
        labels = np.where(random.random(len(truth.labels)) < 0.2, 0, truth.labels)
        by = random.integers(0, 6, len(labels))
        masks = tuple(
            Mask.of(np.roll(mask.pixels(), step, axis=1))
            for mask, step in zip(truth.masks, by, strict=True)
        )
        boxes = (truth.boxes + by[:, None] * [1, 0, 1, 0]).astype(np.float32)
        scores = random.random(len(labels)).astype(np.float32)
        return Detections(boxes, scores, labels, masks)

    return [moved(truth) for truth in test_set.truths]


def test_as_mmdetections_metric(root, test_set, found):
    metric = CocoMetric(str(root / "annotations/test.json"), metric=["bbox", "segm"])
    metric.dataset_meta = dict(classes=CLASSES)
    for number, (one, image) in enumerate(zip(found, test_set.images, strict=True)):
        assert image.name == str(number)
        masks = np.stack([mask.pixels() for mask in one.masks])
        found_there = dict(
            bboxes=torch.from_numpy(one.boxes),
            scores=torch.from_numpy(one.scores),
            labels=torch.from_numpy(one.labels),
            masks=torch.from_numpy(masks),
        )
        sample = dict(img_id=number, ori_shape=(160, 192), pred_instances=found_there)
        metric.process({}, [sample])
    theirs = metric.evaluate(len(found))
    for kind, called in (("box", "bbox"), ("mask", "segm")):
        ours = coco_accuracy(found, test_set.truths, CLASSES, kind)
        assert 0.2 < ours[f"{kind}_AP"] < ours[f"{kind}_AP50"] < 1
        for end, theirs_end in (("AP50", "mAP_50"), ("AP", "mAP")):
            # They round to three digits.
            expected = theirs[f"coco/{called}_{theirs_end}"]
            assert ours[f"{kind}_{end}"] == pytest.approx(expected, abs=0.00051)


def test_nothing_found_and_nothing_annotated(test_set, found):
    none = [Detections.none()] * len(found)
    accuracy = coco_accuracy(none, test_set.truths, CLASSES, "mask")
    assert accuracy == dict(mask_AP50=0.0, mask_AP=0.0)
    with pytest.raises(DataError, match="no annotated object"):
        coco_accuracy([], [], CLASSES, "box")


def test_masks_are_needed(test_set, found):
    without = [Detections(one.boxes, one.scores, one.labels) for one in found]
    with pytest.raises(DataError, match="masks of every object"):
        coco_accuracy(without, test_set.truths, CLASSES, "mask")


def test_the_truth_is_as_mmdetection_reads_it(root, test_set):
    """Polygons, too, and runs as lists of numbers."""
    path = root / "annotations/test.json"
    content = json.loads(path.read_text())
    square = [10, 20, 30, 20, 30, 50, 10, 50]
    runs = dict(size=[160, 192], counts=[160 * 10 + 20, 30, 160 * 182 - 50])
    for entry, segmentation in zip(content["annotations"], ([square], runs), strict=False):
        entry["segmentation"] = segmentation
    other = root / "annotations/other.json"
    other.write_text(json.dumps(content))
    cfg = Config.fromfile(CONFIGS / "lbw_mask_rcnn_toy_fp32.py")
    cfg.test_dataloader.dataset.update(data_root=str(root), ann_file="annotations/other.json")
    settings = {key: value for key, value in cfg.test_dataloader.dataset.items() if key != "type"}
    theirs = CocoDataset(**settings)
    for index, truth in enumerate(load_test_set(cfg).truths):
        expected = theirs[index]["data_samples"].gt_instances
        np.testing.assert_array_equal([m.pixels() for m in truth.masks], expected.masks.masks)
        np.testing.assert_array_equal(truth.boxes, expected.bboxes.tensor)
