"""Mask Scoring R-CNN beside MMDetection."""

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.rescore import Rescore

MASK_IOU_HEAD = dict(
    type="MaskIoUHead",
    num_convs=2,
    num_fcs=1,
    roi_feat_size=14,
    in_channels=16,
    conv_out_channels=8,
    fc_out_channels=8,
    num_classes=2,
)


def scoring(two_stage):
    roi_head = dict(type="MaskScoringRoIHead", mask_iou_head=MASK_IOU_HEAD)
    return two_stage("MaskScoringRCNN", roi_head, mask={})


def test_equals_mmdetection(whole, tiny, two_stage):
    model = scoring(two_stage)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image, best_first=False)
    whole.check_engines(lowered, tiny.image)
    (rescore,) = (op for op in lowered.program.operations if isinstance(op, Rescore))
    assert rescore.factors == "roi_head.mask_iou_head.fc_mask_iou"


def test_boxes_alone_have_their_own_scores(tiny, two_stage):
    lowered = lower(scoring(two_stage), tiny.pipeline, boxes_only=True)
    assert not any("mask" in operation.written for operation in lowered.program.operations)
