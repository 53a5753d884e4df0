"""One small model lowered, and deployed, as the walk does it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.mot import QDTrack
from mmdet.models.roi_heads.mask_heads import fcn_mask_head
from torch import nn

from lbwdet.deploy.runtime.operations.dynamic_masks import DynamicMasks
from lbwdet.deploy.runtime.operations.picked import Picked
from lbwdet.studies.zoo import deployment
from lbwdet.studies.zoo.deployment import (
    _masks_beside_the_image,
    _with_masks,
    try_deployment,
    try_lowering,
)
from lbwdet.studies.zoo.shipped import load_deployed


def told(trial, subject) -> dict[str, Any]:
    found: dict[str, Any] = {}
    trial(subject, lambda key, value: found.update({key: value}))
    return found


@pytest.fixture(scope="module")
def retinanet():
    return load_deployed("retinanet/retinanet_r18_fpn_1x_coco.py", 192)


def test_what_is_deployed(retinanet):
    found = told(try_deployment, retinanet)
    assert found["reason"] is None and found["masks"] is None and found["doing"] == "compare"
    assert 0 < found["real_error"] < 1e-5
    assert 0 < found["map_error"] < 0.1
    # MMDetection makes the same boxes of the engine's maps.
    assert found["matched"] == 1 and found["score_difference"] < 1e-5


def test_engines_that_differ_are_told(retinanet, monkeypatch):
    right = deployment.ReferenceEngine.run

    def wrong(engine, image):
        values, found = right(engine, image)
        return {name: np.zeros(3, np.uint8) for name in values}, found

    monkeypatch.setattr(deployment.ReferenceEngine, "run", wrong)
    found = told(try_deployment, retinanet)
    assert found["reason"].startswith("native and reference engine differ in bbox_head.")
    assert found["doing"] == "run"


def test_programs_that_compute_something_else_are_told(retinanet, monkeypatch):
    right = deployment._in_reals

    def wrong(*given):
        return [1.01 * values for values in right(*given)]

    monkeypatch.setattr(deployment, "_in_reals", wrong)
    found = told(try_deployment, retinanet)
    assert found["reason"].startswith("in reals, the program's maps are ")
    assert found["doing"] == "compare"


@pytest.mark.parametrize("trial", [try_lowering, try_deployment])
def test_refusals_are_sentences(retinanet, trial):
    changed = retinanet | dict(pipeline=[dict(type="LoadImageFromFile"), dict(type="Flip")])
    found = told(trial, changed)
    assert found["doing"] == "lower"
    assert found["reason"].startswith(
        "test pipeline: Flip cannot be lowered; supported are Resize, Pad, LoadImageFromFile, "
    )
    unknown = told(trial, retinanet | dict(model=dict(type="NoSuchDetector")))
    assert unknown["doing"] == "build" and "NoSuchDetector" in unknown["reason"]


def test_lowering_runs_nothing(retinanet, monkeypatch):
    monkeypatch.setattr(deployment, "finish", lambda *_: 1 / 0)
    assert told(try_lowering, retinanet) == dict(doing="lower", masks=None, reason=None)


def test_detectors_of_trackers_are_alone():
    model = QDTrack.__new__(QDTrack)
    torch.nn.Module.__init__(model)
    model.data_preprocessor, model.detector = None, torch.nn.Conv2d(3, 1, 1)
    settings = dict(mean=[1, 2, 3], std=[4, 5, 6], pad_size_divisor=16)
    for given in (
        dict(settings, type="TrackDataPreprocessor", use_det_processor=True),
        dict(type="MultiBranchDataPreprocessor", data_preprocessor=dict(settings, type="Det")),
    ):
        assert deployment._alone(model, given) is model.detector
        found = model.detector.data_preprocessor
        assert type(found) is DetDataPreprocessor and found.pad_size_divisor == 16
        assert found.mean.flatten().tolist() == [1, 2, 3]
    detector = torch.nn.Linear(1, 1)
    detector.data_preprocessor = settings
    assert deployment._alone(detector, {}).data_preprocessor is settings


def test_runs_of_masks_are_compared():
    one, two = np.arange(3), np.arange(4)
    assert deployment._are_same((one, (one, two)), (one, (one, two)))
    assert not deployment._are_same((one, (one, two)), (one, (one, one)))
    assert not deployment._are_same((one, two), (one,))


def test_masks_of_boxes_beside_the_image_are_empty():
    given = torch.ones(1, 1, 4, 4), torch.tensor([[500.0, 5.0, 600.0, 9.0]]), 20, 30
    with pytest.raises(RuntimeError, match="bound"):
        fcn_mask_head._do_paste_mask(*given, skip_empty=True)
    with _masks_beside_the_image():
        found, places = fcn_mask_head._do_paste_mask(*given, skip_empty=True)
    assert found.shape == (1, 20, 30) and not found.any() and places == ()
    with pytest.raises(RuntimeError, match="bound"):
        fcn_mask_head._do_paste_mask(*given, skip_empty=True)


@pytest.mark.parametrize("name", ["mask_head", "mask_embed"])
def test_masks_are_expected_of_whatever_finds_them(name):
    model = nn.ModuleDict({name: nn.Identity()})
    without = SimpleNamespace(program=SimpleNamespace(operations=[Picked((), "", "")]))
    masks = SimpleNamespace(program=SimpleNamespace(operations=[DynamicMasks("", "", "")]))
    assert _with_masks(model, masks) is True and _with_masks(model, without) is False
    assert _with_masks(nn.Identity(), without) is None
