from types import SimpleNamespace

import pytest
import torch
from mmdet.models.detectors import SemiBaseDetector
from mmdet.models.mot import BaseMOTModel
from torch import nn

from lbwdet.studies.zoo.inputs import make_batch


class Tracker(BaseMOTModel):
    loss = predict = None


def model(kind: type = nn.Module, num_classes: int = 80, **preprocessor) -> nn.Module:
    made = kind.__new__(kind)
    nn.Module.__init__(made)
    made.head = nn.Module()
    made.head.num_classes = num_classes
    made.data_preprocessor = SimpleNamespace(**preprocessor)
    return made


@pytest.mark.parametrize("training", [True, False])
def test_images(training):
    made = model()
    assert "masks" not in make_batch(made, training, size=64)["data_samples"][0].gt_instances
    made.mask_head = nn.Module()
    batch = make_batch(made, training, size=64)
    assert len(batch["inputs"]) == len(batch["data_samples"]) == 1 + training
    assert batch["inputs"][0].shape == (3, 64, 64) and batch["inputs"][0].dtype == torch.uint8
    found = batch["data_samples"][0].gt_instances
    assert found.masks.height == 64 and len(found.masks) == len(found.bboxes) == len(found.labels)
    sides = found.bboxes[:, 2:] - found.bboxes[:, :2]
    assert (sides > 4).all() and found.bboxes.max() <= 64
    for mask, (left, top, right, bottom) in zip(
        found.masks.masks, found.bboxes.int().tolist(), strict=True
    ):
        assert mask.sum() == (right - left) * (bottom - top)


def test_labels_that_the_model_knows():
    samples = make_batch(model(num_classes=1), True)["data_samples"]
    assert set(samples[0].gt_instances.labels.tolist()) == {0}
    assert set(make_batch(model(), True)["data_samples"][0].gt_instances.labels.tolist()) == {0, 1}


def test_semantic_maps_of_cascades_are_smaller():
    made = model()
    made.roi_head = SimpleNamespace(with_semantic=True)
    sizes = [
        make_batch(each, True, 64)["data_samples"][0].gt_sem_seg.sem_seg.shape
        for each in (model(), made)
    ]
    assert sizes == [(1, 64, 64), (1, 8, 8)]


def test_videos():
    batch = make_batch(model(Tracker), True, 64)
    assert batch["inputs"][0].shape == (2, 3, 64, 64)
    track = batch["data_samples"][0]
    assert [sample.frame_id for sample in track.video_data_samples] == [0, 1]
    single = make_batch(model(Tracker, use_det_processor=True), True, 64)
    assert single["inputs"][0].shape == (3, 64, 64)


def test_branches():
    batch = make_batch(model(SemiBaseDetector), True, 64)
    assert set(batch["inputs"]) == {"sup", "unsup_teacher", "unsup_student"}
    assert all(len(samples) == 2 for samples in batch["data_samples"].values())


def test_proposals_only_for_who_cannot_propose():
    made = model()
    assert "proposals" in make_batch(made, False, 64)["data_samples"][0]
    made.rpn_head = nn.Module()
    assert "proposals" not in make_batch(made, False, 64)["data_samples"][0]
