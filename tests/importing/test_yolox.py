import copy
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset

from lbwdet.checkpoints import read_checkpoint
from lbwdet.configs import load_config
from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.importing.yolox import import_yolox, outputs
from lbwdet.measuring.detectors import build_detector
from tests.importing.conftest import export
from tests.importing.official_yolox import random_yolox

NANO = "mmdet::yolox/yolox_nano_8xb8-300e_coco.py"
COCO = CocoDataset.METAINFO["classes"]
IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
PICKED = [COCO.index(name) for name in ("couch", "person", "airplane")]


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def of(config, checkpoint) -> np.ndarray:
    with torch.no_grad():
        return outputs(build_detector(load_config(config), checkpoint), IMAGE)


@pytest.fixture
def expected(official) -> np.ndarray:
    with torch.no_grad():
        return official(IMAGE).numpy()


def test_a_released_checkpoint_computes_the_same(published, expected, tmp_path):
    imported = import_yolox(published["pth"], tmp_path / "c.pth")
    assert (imported.size, imported.classes, imported.images) == ("nano", COCO, 0)
    assert imported.text().endswith("c.pth: YOLOX-nano, 80 classes")
    assert difference(of(NANO, tmp_path / "c.pth"), expected) < 1e-5


def test_onnx_is_unfolded_and_computes_the_same(published, expected, photos, tmp_path):
    imported = import_yolox(published["onnx"], tmp_path / "c.pth", images=str(photos))
    assert imported.images == 3 and imported.difference < 1e-5
    assert "batch norm measured on 3 images, outputs within" in imported.text()
    assert difference(of(NANO, tmp_path / "c.pth"), expected) < 1e-5


def test_class_channels_are_picked_by_name(published, expected, config, photos, tmp_path):
    for kind, options in (("pth", {}), ("onnx", dict(images=str(photos)))):
        imported = import_yolox(published[kind], tmp_path / "c.pth", config, **options)
        assert imported.classes == ("sofa", "person", "aeroplane")
        found = of(config, tmp_path / "c.pth")
        wanted = expected[..., [*range(5), *(5 + channel for channel in PICKED)]]
        assert found.shape == wanted.shape and difference(found, wanted) < 1e-5
    _, meta = read_checkpoint(tmp_path / "c.pth")
    assert meta["dataset_meta"] == dict(CLASSES=("sofa", "person", "aeroplane"))


def test_norms_are_given_unit_variance(published, photos, tmp_path):
    import_yolox(published["onnx"], tmp_path / "c.pth", images=str(photos))
    state, _ = read_checkpoint(tmp_path / "c.pth")
    variances = [value for name, value in state.items() if name.endswith("running_var")]
    assert len(variances) == 104
    assert all((value == np.float32(1 - 1e-3)).all() for value in variances)
    # Statistics are those of the images: training mode, which takes the batch's, is near.
    model = build_detector(load_config(NANO), tmp_path / "c.pth")
    inputs = torch.cat([IMAGE] * 2)
    with torch.no_grad():
        as_tested = outputs(copy.deepcopy(model), inputs)
        as_trained = outputs(model.train(), inputs)
    assert difference(as_trained[..., :4], as_tested[..., :4]) < 1


def test_files_in_mmdetections_names_and_of_own_classes(published, config, tmp_path):
    import_yolox(published["pth"], tmp_path / "all.pth")
    import_yolox(tmp_path / "all.pth", tmp_path / "three.pth", config)
    import_yolox(tmp_path / "three.pth", tmp_path / "again.pth", config)
    assert (of(config, tmp_path / "again.pth") == of(config, tmp_path / "three.pth")).all()


@pytest.mark.parametrize("size", ["tiny", "m"])
def test_other_sizes(size, tmp_path):
    width, blocks = dict(tiny=(24, 1), m=(48, 2))[size]
    official = random_yolox(width=width, blocks=blocks, depthwise=False)
    torch.save(dict(ema=official.state_dict(), model={}), tmp_path / "official.pth")
    imported = import_yolox(tmp_path / "official.pth", tmp_path / "c.pth")
    assert imported.size == size
    config = f"mmdet::yolox/yolox_{size}_8xb8-300e_coco.py"
    with torch.no_grad():
        expected = official(IMAGE).numpy()
    assert difference(of(config, tmp_path / "c.pth"), expected) < 1e-5


def refused(error, message, *arguments, **options):
    with pytest.raises(error, match=message) as raised:
        import_yolox(*arguments, **options)
    assert len(str(raised.value).splitlines()) == 1


def test_files_that_do_not_fit_are_refused_in_a_sentence(published, config, photos, tmp_path):
    out, onnx = tmp_path / "c.pth", published["onnx"]
    refused(ConfigError, "name images to measure", onnx, out)
    small = "mmdet::yolox/yolox_s_8xb8-300e_coco.py"
    for file in published.values():
        refused(CheckpointError, "is YOLOX-nano, but .* is YOLOX-s", file, out, small)
    frcnn = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
    refused(ConfigError, "is no float YOLOX", published["pth"], out, frcnn)
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    refused(CheckpointError, "is no YOLOX: its first convolution", tmp_path / "resnet.pth", out)
    config.write_text(config.read_text().replace("aeroplane", "airplanes"))
    refused(ConfigError, "no channel for the class 'airplanes'.*: airplane", onnx, out, config)
    export(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)), tmp_path / "conv.onnx")
    refused(CheckpointError, "is no YOLOX", tmp_path / "conv.onnx", out)
    refused(CheckpointError, "no such file", tmp_path / "none.onnx", out)
    (tmp_path / "text.onnx").write_text("not a model")
    refused(CheckpointError, "not an ONNX model", tmp_path / "text.onnx", out)
    assert not out.exists()


def test_quantized_configs_and_other_numbers_of_classes_are_refused(published, config, tmp_path):
    out = tmp_path / "c.pth"
    import_yolox(published["pth"], tmp_path / "three.pth", config)
    refused(CheckpointError, "has 3 classes, neither COCO's 80", tmp_path / "three.pth", out)
    low = "model = dict(type='LBWDetector', detector='YOLOX', quant=dict(weight=dict(bit_width=4)))"
    text = f"_base_ = {str(config)!r}\ncustom_imports = dict(imports=['lbwdet.models'])\n{low}\n"
    (tmp_path / "low.py").write_text(text)
    refused(ConfigError, "is no float YOLOX", published["pth"], out, tmp_path / "low.py")


def test_a_graph_of_another_order_is_refused(official, photos, tmp_path):
    other = copy.deepcopy(official)
    layer = other.backbone.C3_p3
    # Both branches read the same and are of one shape: only the outputs tell.
    layer.forward = lambda x: join(layer, layer.conv2(x), layer.conv1(x))

    def join(layer, other, one):
        return layer.conv3(torch.cat([layer.m(one), other], 1))

    export(other, tmp_path / "other.onnx")
    refused(
        CheckpointError,
        "its outputs differ by",
        tmp_path / "other.onnx",
        tmp_path / "c.pth",
        images=str(photos),
    )


@pytest.mark.skipif("LBWDET_YOLOX_NANO" not in os.environ, reason="LBWDET_YOLOX_NANO names none")
def test_the_published_nano(photos, tmp_path):
    source = Path(os.environ["LBWDET_YOLOX_NANO"])  # yolox_nano.onnx of release 0.1.1rc0
    imported = import_yolox(source, tmp_path / "c.pth", images=str(photos))
    assert imported.size == "nano" and imported.difference < 1e-5
