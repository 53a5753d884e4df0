import pytest
import torch

from lbwdet.bit_plan.low_bit_start import low_bit_settings, write_projected
from lbwdet.checkpoints import read_checkpoint
from lbwdet.errors import CheckpointError
from lbwdet.layers import describe_quantization, quantize_, quantized_layers
from lbwdet.testing import tiny_config, write_tiny_voc
from lbwdet.training.build import build_model


@pytest.fixture(scope="module")
def cfg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    root = write_tiny_voc(folder / "data", num_trainval=1, num_test=1)
    return tiny_config(root, folder / "run", model="retinanet_r50_fpn")


def test_what_a_checkpoint_says_of_its_layers():
    quant = {"a": "4bit dense exact tensor"}
    assert low_bit_settings(dict(lbwdet=dict(quant=quant))) == quant
    for meta in ({}, dict(lbwdet=None), dict(lbwdet=dict(quant="4"))):
        assert low_bit_settings(meta) == {}


def test_weights_are_those_that_the_detector_computes_with(cfg, tmp_path):
    model = quantize_(
        build_model(cfg),
        dict(bit_width=4, code="dense", granularity="channel"),
        keep_float=["bbox_head.retina_cls"],
        overrides={"backbone.conv1": dict(bit_width=6, code="paper", granularity="tensor")},
    )
    quant = describe_quantization(model)
    write_projected(cfg, "low.pth", model.state_dict(), quant, tmp_path / "start.pth")
    written, _ = read_checkpoint(tmp_path / "start.pth")
    for name, layer in quantized_layers(model).items():
        assert torch.equal(written[f"{name}.weight"], layer.fake_quantized_weight()), name
    float_key = "bbox_head.retina_cls.weight"
    assert torch.equal(written[float_key], model.state_dict()[float_key])


def test_a_projection_that_is_not_told(cfg, tmp_path):
    state = build_model(cfg).state_dict()
    quant = {"backbone.conv1": "6bit paper threshold tensor"}
    with pytest.raises(CheckpointError, match=r"low\.pth: cannot be continued: .*threshold"):
        write_projected(cfg, "low.pth", state, quant, tmp_path / "start.pth")
    assert not (tmp_path / "start.pth").exists()
