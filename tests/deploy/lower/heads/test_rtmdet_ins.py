import numpy as np
import pytest

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError

SILU = dict(type="SiLU")


def rtmdet_ins(one_stage, kind="RTMDetInsSepBNHead", **test):
    model = one_stage(
        {
            "detector": "RTMDet",
            "backbone.out_indices": (0, 1, 2),
            "neck": dict(
                _delete_=True, type="FPN", in_channels=[8, 16, 32], out_channels=16, num_outs=3
            ),
            "test_cfg": dict(
                dict(
                    _delete_=True,
                    nms_pre=100,
                    min_bbox_size=0,
                    score_thr=0.05,
                    nms=dict(type="nms", iou_threshold=0.6),
                    max_per_img=20,
                    mask_thr_binary=0.4,
                ),
                **test,
            ),
        },
        type=kind,
        feat_channels=16,
        stacked_convs=1,
        num_prototypes=4,
        dyconv_channels=5,
        anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[4, 8, 16]),
        bbox_coder=dict(type="DistancePointBBoxCoder"),
        with_objectness=False,
        norm_cfg=dict(type="BN"),
        act_cfg=SILU,
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
    )
    for name, parameter in model.bbox_head.named_parameters():
        if name.startswith("rtm_reg") and name.endswith("bias"):
            parameter.data.fill_(1.0)  # most boxes have their sides around their points
        elif name.startswith("rtm_kernel") or "projection" in name:
            parameter.data.normal_(0, 1)  # masks are neither all nor nothing
        if name.startswith("rtm_kernel") and name.endswith("bias"):
            parameter.data[-1] = -1.0
    return model


@pytest.mark.parametrize("kind", ["RTMDetInsSepBNHead", "RTMDetInsHead"])
def test_equals_mmdetection_and_the_engines_each_other(whole, tiny, one_stage, kind):
    model = rtmdet_ins(one_stage, kind)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    (masks,) = (op for op in lowered.program.operations if type(op).__name__ == "DynamicMasks")
    assert masks.channels == (5, 5, 1) and masks.reach == 8 and masks.step == 4
    whole.check_engines(lowered, tiny.image)
    boxes = lower(model, tiny.pipeline, boxes_only=True)
    assert boxes.program.operations[-1].masks is None and len(boxes.maps) == 6
    wanted, found = (whole.in_reals(each, tiny.image)[1] for each in (lowered, boxes))
    for one, other in zip(wanted[:3], found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_threshold_that_is_no_probability(tiny, one_stage):
    with pytest.raises(ConfigError, match="mask_thr_binary=1 cannot be lowered; give a number"):
        lower(rtmdet_ins(one_stage, mask_thr_binary=1.0), tiny.pipeline)
