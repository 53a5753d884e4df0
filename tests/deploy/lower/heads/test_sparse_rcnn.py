"""Sparse R-CNN beside MMDetection."""

import pytest
import torch

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.attention import Attention
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.errors import ConfigError
from tests.deploy.lower.heads.conftest import EXTRACTOR

STAGES, BOXES = 2, 12


def sparse(**changes):
    """Settings of a model; ``changes`` are of its box heads."""
    box_head = dict(
        type="DIIHead",
        num_classes=2,
        num_ffn_fcs=2,
        num_heads=2,
        num_cls_fcs=1,
        num_reg_fcs=2,
        feedforward_channels=24,
        in_channels=16,
        ffn_act_cfg=dict(type="ReLU", inplace=True),
        dynamic_conv_cfg=dict(
            type="DynamicConv",
            in_channels=16,
            feat_channels=6,
            out_channels=16,
            input_feat_shape=7,
            act_cfg=dict(type="ReLU", inplace=True),
            norm_cfg=dict(type="LN"),
        ),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True),
        bbox_coder=dict(
            type="DeltaXYWHBBoxCoder", clip_border=False, target_stds=[0.5, 0.5, 1.0, 1.0]
        ),
    )
    roi_head = dict(
        _delete_=True,
        type="SparseRoIHead",
        num_stages=STAGES,
        stage_loss_weights=[1] * STAGES,
        proposal_feature_channel=16,
        bbox_roi_extractor=EXTRACTOR,
        bbox_head=[dict(box_head, **changes) for _ in range(STAGES)],
    )
    proposals = dict(
        _delete_=True,
        type="EmbeddingRPNHead",
        num_proposals=BOXES,
        proposal_feature_channel=16,
    )
    test_cfg = dict(_delete_=True, rpn=None, rcnn=dict(max_per_img=10, mask_thr_binary=0.5))
    return dict(roi_head=roi_head, rpn_head=proposals, train_cfg=None, test_cfg=test_cfg)


def place_boxes(model):
    """Boxes all over the image, and what is known of each."""
    torch.manual_seed(2)
    with torch.no_grad():
        places = model.rpn_head.init_proposal_bboxes.weight
        places[:, :2].uniform_(0.2, 0.8)
        places[:, 2:].uniform_(0.1, 0.9)
        model.rpn_head.init_proposal_features.weight.normal_()
    return model


@pytest.fixture(scope="module")
def build(two_stage):
    return lambda **changes: place_boxes(two_stage("SparseRCNN", model=sparse(**changes)))


def test_equals_mmdetection(whole, tiny, build):
    model = build()
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    operations = lowered.program.operations
    names = [type(operation).__name__ for operation in operations]
    assert names.count("RegionProduct") == 2 * STAGES and names.count("Refine") == STAGES - 1
    assert all(op.across for op in operations if isinstance(op, Attention))
    (candidates,) = (op for op in operations if isinstance(op, RegionCandidates))
    assert candidates.best == 10 and candidates.activation == "sigmoid"


def test_a_softmax_over_classes(whole, tiny, build):
    model = build(loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False))
    whole.check(model, tiny.pipeline, lower(model, tiny.pipeline), tiny.image)


def test_heads_that_know_something_else(tiny, build, monkeypatch):
    model = build()
    box_head = model.roi_head.bbox_head[1]
    other = type("Other", (type(box_head),), {"forward": None})
    monkeypatch.setattr(box_head, "__class__", other)
    with pytest.raises(ConfigError, match=r"bbox_head\.1 Other cannot be lowered"):
        lower(model, tiny.pipeline)
