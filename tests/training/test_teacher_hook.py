import copy
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from lbwdet.errors import CheckpointError
from lbwdet.layers import quantize_
from lbwdet.training import TeacherHook


@pytest.fixture(scope="module")
def detector():
    init_default_scope("mmdet")
    head = dict(type="YOLOXHead", num_classes=2, in_channels=8, feat_channels=8, strides=(8, 16))
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type="YOLOX",
            data_preprocessor=dict(type="DetDataPreprocessor"),
            backbone=dict(
                type="CSPDarknet", deepen_factor=0.33, widen_factor=0.0625, out_indices=(2, 3)
            ),
            neck=dict(type="YOLOXPAFPN", in_channels=[16, 32], out_channels=8, num_csp_blocks=1),
            bbox_head=head,
        )
    ).eval()


def run(model, path, **settings):
    hook, runner = TeacherHook(str(path), **settings), SimpleNamespace(model=model)
    hook.before_train(runner)
    return hook, runner


def test_a_detector_is_trained_towards_its_float_version(detector, tmp_path):
    torch.save(dict(state_dict=detector.state_dict()), tmp_path / "float.pth")
    images = torch.rand(2, 3, 64, 64) * 255
    model = copy.deepcopy(detector)
    keys = set(model.state_dict())
    hook, runner = run(model, tmp_path / "float.pth")
    losses = model(images, [], mode="loss")
    assert set(losses) == {"loss_teacher"} and losses["loss_teacher"] == 0
    quantize_(model, dict(bit_width=3, code="dense"))
    losses = model(images, [], mode="loss")
    assert losses["loss_teacher"] > 0 and set(model.state_dict()) == keys
    losses["loss_teacher"].backward()
    assert model.backbone.stem.conv.conv.weight.grad.abs().sum() > 0
    hook.after_train(runner)
    assert model.loss.__func__ is type(model).loss


def test_labels_can_count_beside(detector, tmp_path):
    torch.save(dict(state_dict=detector.state_dict()), tmp_path / "float.pth")
    model = copy.deepcopy(detector)
    model.loss = lambda inputs, samples: dict(loss_cls=torch.tensor(3.0), parts=[torch.ones(1)])
    run(model, tmp_path / "float.pth", labels=0.5)
    losses = model(torch.rand(1, 3, 64, 64), [], mode="loss")
    assert losses["loss_cls"] == 1.5 and losses["parts"] == [torch.tensor([0.5])]


def test_a_low_bit_detector_has_a_float_teacher(detector, tmp_path):
    torch.save(dict(state_dict=detector.state_dict()), tmp_path / "float.pth")
    model = quantize_(copy.deepcopy(detector), dict(bit_width=2))
    run(model, tmp_path / "float.pth")
    before = model(torch.rand(1, 3, 64, 64), [], mode="loss")["loss_teacher"]
    assert before > 0


def test_what_cannot_be(detector, tmp_path):
    with pytest.raises(CheckpointError, match=r"gone\.pth"):
        run(copy.deepcopy(detector), tmp_path / "gone.pth")
