import pytest

from lbwdet.errors import ConfigError
from lbwdet.studies.zoo import shipped
from lbwdet.studies.zoo.shipped import (
    digest,
    load_deployed,
    load_model,
    parts_of,
    shipped_configs,
)

FASTER_RCNN = "faster_rcnn/faster-rcnn_r50_fpn_{}x_coco.py"


def test_names():
    names = shipped_configs()
    assert len(names) > 800 and names == sorted(names)
    assert not [name for name in names if name.startswith("_base_/")]
    assert shipped_configs("yolof/*") == [name for name in names if name.startswith("yolof/")]
    with pytest.raises(ConfigError, match=r"--filter 'nothing/\*' matches none of \d+ configs"):
        shipped_configs("nothing/*")


def test_an_installation_without_configs(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped.mmdet, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ConfigError, match="install MMDetection's wheel"):
        shipped_configs()


def test_schedules_do_not_make_another_model():
    one, two = (load_model(FASTER_RCNN.format(epochs)) for epochs in (1, 2))
    assert digest(one) == digest(two)
    assert digest(one) != digest(load_model("retinanet/retinanet_r50_fpn_1x_coco.py"))


def test_nothing_is_downloaded():
    def checkpoints(value):
        if isinstance(value, dict):
            for entry in value.values():
                yield from checkpoints(entry)
        elif isinstance(value, (list, tuple)):
            for entry in value:
                yield from checkpoints(entry)
        elif isinstance(value, str) and ("://" in value or value.endswith(".pth")):
            yield value

    for name in (FASTER_RCNN.format(1), "ld/ld_r18-gflv1-r101_fpn_1x_coco.py"):
        assert list(checkpoints(load_model(name))) == []


def test_few_proposals():
    model = load_model(FASTER_RCNN.format(1))
    assert model["train_cfg"]["rpn_proposal"]["max_per_img"] == 50
    assert model["train_cfg"]["rcnn"]["sampler"]["num"] == 32
    assert model["train_cfg"]["rcnn"]["assigner"]["pos_iou_thr"] == 0.5
    assert model["data_preprocessor"] == dict(type="DetDataPreprocessor", pad_size_divisor=32)


def test_what_is_deployed_is_small_and_normalized_in_one_way():
    found = load_deployed(FASTER_RCNN.format(1), 192)
    preprocessor = found["model"]["data_preprocessor"]
    assert preprocessor["pad_size_divisor"] == 32 and preprocessor["std"][0] == 58.395
    assert found["pipeline"] == [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(192, 128), keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="PackDetInputs"),
    ]
    caffe = load_deployed("faster_rcnn/faster-rcnn_r50-caffe_fpn_1x_coco.py", 192)
    assert caffe["model"]["data_preprocessor"] == preprocessor
    yolox = load_deployed("yolox/yolox_s_8xb8-300e_coco.py", 192)
    assert "mean" not in yolox["model"]["data_preprocessor"]
    assert [step.get("scale") for step in yolox["pipeline"][1:2]] == [(192, 192)]


def test_parts_of_a_model():
    found = parts_of(load_deployed("dcn/mask-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py", 192)["model"])
    assert found >= {"MaskRCNN", "ResNet", "DCN", "FPN", "RPNHead", "FCNMaskHead", "RoIAlign"}
    assert not found & {"MaxIoUAssigner", "L1Loss", "nms", "DetDataPreprocessor", "Pretrained"}


def test_trackers_work_on_single_images():
    config = "qdtrack/qdtrack_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py"
    steps = load_deployed(config, 192)["pipeline"]
    assert [step["type"] for step in steps[::3]] == ["LoadImageFromFile", "PackTrackInputs"]
    assert steps[1] == dict(type="Resize", scale=(192, 192), keep_ratio=True)


def test_a_config_without_model():
    with pytest.raises((AttributeError, KeyError)):
        load_model("common/ms_3x_coco.py")
