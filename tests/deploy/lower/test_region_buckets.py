"""SABL's region heads beside MMDetection."""

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.errors import ConfigError

BOX_HEAD = dict(
    type="SABLHead",
    num_classes=2,
    cls_in_channels=16,
    reg_in_channels=16,
    roi_feat_size=7,
    reg_feat_up_ratio=2,
    reg_pre_num=1,
    cls_out_channels=32,
    reg_offset_out_channels=16,
    reg_cls_out_channels=16,
    bbox_coder=dict(type="BucketingBBoxCoder", num_buckets=14, scale_factor=1.7),
    loss_cls=dict(type="CrossEntropyLoss"),
)


def test_equals_mmdetection(whole, tiny, two_stage):
    model = two_stage(box_head=dict(BOX_HEAD, _delete_=True))
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    candidates = lowered.program.operations[-4]
    assert candidates.factors == "detections.confidence" and candidates.coder.of_prior
    assert lowered.weights["roi_head.bbox_head.upsample_x"].code == "paper"


@pytest.mark.parametrize("changes", [dict(num_reg_fcs=1), dict(reg_feat_up_ratio=1)])
def test_other_settings(tiny, two_stage, changes):
    model = two_stage(box_head=dict(BOX_HEAD, _delete_=True))
    for name, value in changes.items():
        setattr(model.roi_head.bbox_head, name, value)
    with pytest.raises(ConfigError, match=r"num_reg_fcs=\d, reg_feat_up_ratio=\d cannot be"):
        lower(model, tiny.pipeline)
