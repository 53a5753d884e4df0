"""Double-Head R-CNN beside MMDetection."""

import pytest

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign

BOX_HEAD = dict(
    _delete_=True,
    type="DoubleConvFCBBoxHead",
    num_convs=1,
    num_fcs=1,
    in_channels=16,
    conv_out_channels=32,
    fc_out_channels=32,
    roi_feat_size=7,
    num_classes=2,
    bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
    loss_cls=dict(type="CrossEntropyLoss"),
)


@pytest.fixture(scope="module")
def double(two_stage):
    roi_head = dict(type="DoubleHeadRoIHead", reg_roi_scale_factor=1.3)
    return two_stage(roi_head=roi_head, box_head=BOX_HEAD)


def test_equals_mmdetection(whole, tiny, double):
    lowered = lower(double, tiny.pipeline)
    whole.check(double, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    aligns = [op for op in lowered.program.operations if isinstance(op, RoIAlign)]
    assert [align.box_scale for align in aligns] == [1.0, 1.3]
    written = [op.written for op in lowered.program.operations]
    assert written.count("roi_head.bbox_head.fc_cls") == 1
    assert not any("@larger_roi_features" in name for name in written)
