import numpy as np
import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.errors import ConfigError


@pytest.fixture(scope="module")
def yolov3(one_stage):
    """With three levels of a small network, coarse first, and anchors of many shapes."""
    model = one_stage(
        {
            "detector": "YOLOV3",
            "backbone.out_indices": (1, 2, 3),
            "neck": dict(
                _delete_=True,
                type="YOLOV3Neck",
                num_scales=3,
                in_channels=[64, 32, 16],
                out_channels=[16, 16, 16],
            ),
            "train_cfg": None,
            "test_cfg": dict(
                _delete_=True,
                nms_pre=200,
                min_bbox_size=0,
                score_thr=0.05,
                conf_thr=0.4,
                nms=dict(type="nms", iou_threshold=0.45),
                max_per_img=100,
            ),
        },
        type="YOLOV3Head",
        in_channels=[16, 16, 16],
        out_channels=[16, 16, 16],
        anchor_generator=dict(
            type="YOLOAnchorGenerator",
            base_sizes=[[(50, 40), (30, 60)], [(20, 30), (31, 22)], [(8, 10), (12, 6)]],
            strides=[32, 16, 8],
        ),
        bbox_coder=dict(type="YOLOBBoxCoder"),
        featmap_strides=[32, 16, 8],
    )
    return model


def test_equals_mmdetection_and_runs_in_integers(whole, tiny, yolov3):
    lowered = lower(yolov3, tiny.pipeline)
    whole.check(yolov3, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    candidates = lowered.program.operations[-4]
    assert candidates.coder == DeltaCoder((0.0,) * 4, (1.0,) * 4, 1e6, clip=False, in_cell=True)
    assert candidates.together and not candidates.factor_first
    assert np.float32(0.4) > np.float32(candidates.factor_threshold) > np.float32(0.3999999)
    assert candidates.strides == (32, 16, 8) and len(candidates.base_anchors[0]) == 2


def test_each_part_of_a_map_is_a_layer_of_its_own(tiny, yolov3):
    lowered = lower(yolov3, tiny.pipeline)
    rows = [lowered.weights[f"bbox_head.convs_pred.0:{part}"].codes for part in range(3)]
    assert [len(each) for each in rows] == [4, 8, 2]
    whole = yolov3.bbox_head.convs_pred[0].quantized_weight().codes.numpy()
    assert (rows[1] == whole[[0, 1, 2, 3, 7, 8, 9, 10]]).all()
    assert (rows[2] == whole[[4, 11]]).all()


def test_strides_of_maps_are_those_of_anchors(tiny, yolov3, monkeypatch):
    monkeypatch.setattr(yolov3.bbox_head, "featmap_strides", [32, 16, 4])
    with pytest.raises(ConfigError, match=r"featmap_strides=\[32, 16, 4\] cannot be lowered"):
        lower(yolov3, tiny.pipeline)
