"""The steps of a trial, and one small config of each main family through all of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from torch import Tensor, nn

from lbwdet.studies.zoo.shipped import load_model
from lbwdet.studies.zoo.trial import STEPS, reason, run_trial

ALL_RUN = dict.fromkeys(STEPS)
FAMILIES = {
    "one stage": "retinanet/retinanet_r18_fpn_1x_coco.py",
    "two stages, masks": "regnet/mask-rcnn_regnetx-400MF_fpn_ms-poly-3x_coco.py",
    "no anchors": "yolox/yolox_tiny_8xb8-300e_coco.py",
    "RTMDet": "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py",
    "SSD": "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py",
    "YOLOv3": "yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py",
    "deformable convolutions": "centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py",
    "transformer": "detr/detr_r18_8xb2-500e_coco.py",
    "transformer backbone": "pvt/retinanet_pvtv2-b0_fpn_1x_coco.py",
}


class Linear(BaseModel):
    """Reads its weight as it is told; stands in for a detector."""

    def __init__(self, past_forward: bool = False, fails: str = "", **kwargs: Any) -> None:
        super().__init__(data_preprocessor=dict(type="DetDataPreprocessor"))
        self.fc, self.past_forward, self.fails = nn.Linear(3, 1, bias=False), past_forward, fails

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = "") -> Any:
        if mode == self.fails:
            raise RuntimeError("CUDA\nonly")
        x = inputs.float().mean((2, 3))
        y = x @ self.fc.weight.T if self.past_forward else self.fc(x)
        return dict(loss=y.mean()) if mode == "loss" else y


@pytest.fixture(autouse=True)
def _registered():
    MODELS.register_module(name="ZooLinear", module=Linear)
    yield
    MODELS.module_dict.pop("ZooLinear")


def trial(**model: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    run_trial(model, found.__setitem__)
    return found


def test_all_runs():
    found = trial(type="ZooLinear")
    assert found["float"] == found["quantized"] == ALL_RUN
    assert (found["built"], found["quantized_layers"], found["float_weights"]) == (True, 1, 0)
    assert found["size"] == 128 and found["doing"] == "quantized"


def test_weights_that_are_read_past_the_layer():
    found = trial(type="ZooLinear", past_forward=True)
    assert found["float"] == ALL_RUN
    assert found["quantized"]["backward"] == "1 weights are read past forward(): fc"


@pytest.mark.parametrize("step", ["loss", "predict"])
def test_what_fails(step):
    found = trial(type="ZooLinear", fails=step)
    assert found["float"] == found["quantized"]
    assert found["float"][step] == "RuntimeError: CUDA"
    if step == "loss":
        assert found["float"] == {
            "loss": "RuntimeError: CUDA",
            "backward": "no loss",
            "predict": None,
        }


def test_a_lost_gradient(monkeypatch):
    def detached(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input, self.fake_quantized_weight().detach()) + 0 * input.sum()

    monkeypatch.setattr("lbwdet.layers.quant_layer.QuantLinear.forward", detached)
    found = trial(type="ZooLinear")
    assert found["float"] == ALL_RUN
    assert "does not require grad" in found["quantized"]["backward"]


def test_a_loss_that_is_not_finite(monkeypatch):
    monkeypatch.setattr(Linear, "forward", lambda self, **_: dict(loss=self.fc.weight.sum() / 0))
    assert trial(type="ZooLinear")["float"]["loss"] in ("the loss is inf", "the loss is -inf")


def test_a_model_that_cannot_be_built():
    found = trial(type="ZooLinear", data_preprocessor=3, unknown=1, backbone=dict(type="NoSuch"))
    assert found["built"] is True  # it takes anything
    found = trial(type="NoSuch")
    assert found["built"] is False and "NoSuch" in found["float"]["loss"]
    assert "quantized" not in found


def test_reasons_name_no_folder_of_this_machine():
    error = FileNotFoundError(f"no {Path(torch.__file__).parents[1]}/mmdet/a.py   here\nat all")
    assert reason(error) == "FileNotFoundError: no mmdet/a.py here"


@pytest.mark.parametrize("config", FAMILIES.values(), ids=list(FAMILIES))
def test_one_of_each_main_family(config):
    found = trial(**load_model(config))
    assert found["quantized"] == found["float"]
    assert found["quantized_layers"] > 20
    broken = {"predict"} if "ssd/" in config else set()  # MMDetection 3.3's SSD cannot predict
    assert {step for step in STEPS if found["float"][step] is not None} == broken
