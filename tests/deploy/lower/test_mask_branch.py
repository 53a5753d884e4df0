"""Mask R-CNN beside MMDetection; Cascade Mask R-CNN is in heads/test_cascade_rcnn.py."""

import json

import cv2
import pytest
import torch
from mmengine.config import ConfigDict
from pycocotools.mask import decode

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.detector import Detector
from lbwdet.errors import ConfigError


@pytest.fixture(scope="module")
def mask_rcnn(two_stage):
    return two_stage("MaskRCNN", mask={})


@pytest.fixture(scope="module")
def lowered(tiny, mask_rcnn):
    return lower(mask_rcnn, tiny.pipeline)


def test_equals_mmdetection(whole, tiny, mask_rcnn, lowered):
    whole.check(mask_rcnn, tiny.pipeline, lowered, tiny.image)
    suppress, _, align, *network, _, rescale, result = lowered.program.operations[-10:]
    assert [type(op).__name__ for op in network] == ["Conv", "Conv", "DepthToSpace", "Conv"]
    assert suppress.input == "detections.candidates" and suppress.output == rescale.input
    assert (align.size, len(align.inputs), result.masks) == (14, 4, "masks")
    upsample = lowered.weights["roi_head.mask_head.upsample"]
    assert upsample.codes.shape == (4 * 8, 8, 1, 1) and upsample.code == "paper"


def test_one_mask_for_every_class(whole, tiny, two_stage):
    model = two_stage("MaskRCNN", mask=dict(class_agnostic=True))
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


def test_both_engines_find_the_same_masks(tiny, lowered):
    program = calibrate(lowered.program, lowered.weights, [("image", tiny.image)])
    artifact = Artifact(program, lowered.weights, ("a", "b"), {})
    native, reference = (
        Detector(artifact, engine=engine)(tiny.image) for engine in ("native", "reference")
    )
    assert len(native.masks) == len(native) > 5
    assert native.boxes.tobytes() == reference.boxes.tobytes()
    for one, other in zip(native.masks, reference.masks, strict=True):
        assert one.size == other.size == tiny.image.shape[:2]
        assert one.runs.tobytes() == other.runs.tobytes()
    assert any(mask.area for mask in native.masks)


def test_masks_of_many_images(tiny, lowered, tmp_path):
    """From the artifact's file to COCO's JSON, which pycocotools reads back."""
    pytest.importorskip("pyarrow")
    from lbwdet.bulk.coco import images_path
    from lbwdet.bulk.detect import BulkSettings, detect_in_bulk

    program = calibrate(lowered.program, lowered.weights, [("image", tiny.image)])
    path, images, out = tmp_path / "mask.lbw", tmp_path / "images", tmp_path / "found.json"
    write_artifact(path, Artifact(program, lowered.weights, ("a", "b"), {}))
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), tiny.image)
    cv2.imwrite(str(images / "b.png"), tiny.image[:40])
    threshold = 0.05
    detect_in_bulk(images, path, out, BulkSettings(workers=0, score_thr=threshold))
    found = json.loads(out.read_text())
    known = {image["id"]: image for image in json.loads(images_path(out).read_text())["images"]}
    detector = Detector(path, score_threshold=threshold)
    for number, image in ((0, tiny.image), (1, tiny.image[:40])):
        expected = detector(image)
        rows = [
            row for row in found if known[row["image_id"]]["file_name"] == "ab"[number] + ".png"
        ]
        assert len(rows) == len(expected) > 0
        for row, mask in zip(rows, expected.masks, strict=True):
            assert (decode(row["segmentation"]) == mask.pixels()).all()


def test_boxes_alone_if_asked(whole, tiny, mask_rcnn):
    names = [name for name, _ in mask_rcnn.named_modules()]
    lowered = lower(mask_rcnn, tiny.pipeline, boxes_only=True)
    assert [name for name, _ in mask_rcnn.named_modules()] == names
    assert not lowered.program.has_masks
    assert not any("mask_head" in name for name in lowered.weights)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(mask_thr_binary=-1), "mask_thr_binary=-1 cannot be lowered; give 0 to 1; --boxes-on"),
        (dict(mask_thr_binary=None), "mask_thr_binary is missing"),
    ],
)
def test_thresholds_that_no_operation_has(tiny, mask_rcnn, monkeypatch, settings, message):
    roi_head = mask_rcnn.roi_head
    monkeypatch.setattr(roi_head, "test_cfg", ConfigDict({**roi_head.test_cfg, **settings}))
    with pytest.raises(ConfigError, match=message):
        lower(mask_rcnn, tiny.pipeline)


def test_parts_without_a_rule_name_the_way_out(tiny, mask_rcnn, monkeypatch):
    monkeypatch.setattr(mask_rcnn.roi_head.mask_head, "relu", torch.nn.Softplus())
    with pytest.raises(ConfigError, match=r"no rule for softplus; .*; --boxes-only exports boxes"):
        lower(mask_rcnn, tiny.pipeline)
