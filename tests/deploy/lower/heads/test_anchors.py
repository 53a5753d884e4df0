import pytest
from mmengine.config import ConfigDict

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.operations.l2_norm import L2Norm
from lbwdet.errors import ConfigError


@pytest.fixture(scope="module")
def retina(one_stage):
    return one_stage()


def test_equals_mmdetection(whole, tiny, retina):
    lowered = lower(retina, tiny.pipeline)
    whole.check(retina, tiny.pipeline, lowered, tiny.image)
    candidates, rescale, suppress, _ = lowered.program.operations[-4:]
    assert (candidates.activation, candidates.num_classes, candidates.factors) == ("sigmoid", 2, ())
    assert (candidates.pre_nms, candidates.score_threshold, candidates.min_size) == (1000, 0.05, 0)
    assert candidates.strides == (8, 16, 32, 64, 128) and len(candidates.base_anchors[0]) == 9
    assert rescale.input == candidates.output
    assert (suppress.group, suppress.iou_threshold, suppress.max_boxes) == ("class", 0.5, 100)


def test_boxes_reach_as_far_as_the_pixels_that_were_added(whole, tiny, retina):
    load, resize, pack = tiny.pipeline
    pad = dict(type="Pad", size=(150, 130), pad_val=114)
    pipeline = [load, dict(resize, scale=(96, 96)), pad, pack]
    lowered = lower(retina, pipeline)
    whole.check(retina, pipeline, lowered, tiny.image)
    boxes = whole.in_reals(lowered, tiny.image)[1][0]
    assert boxes[:, 3].max() > tiny.image.shape[0] + 1


def test_softmax_over_classes_and_background(whole, tiny, one_stage):
    loss = dict(type="CrossEntropyLoss", use_sigmoid=False)
    model = one_stage({"bbox_head.loss_cls": dict(_delete_=True, **loss)})
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    assert lowered.program.operations[-4].activation == "softmax"


def test_kin_of_retinanet(whole, tiny, one_stage):
    """Heads that are trained otherwise find boxes in the same way; norms of each level's own."""
    for head in ("FreeAnchorRetinaHead", "PISARetinaHead", "RetinaSepBNHead"):
        more = dict(num_ins=5, norm_cfg=dict(type="BN")) if head == "RetinaSepBNHead" else {}
        model = one_stage(
            {f"bbox_head.{key}": value for key, value in more.items()} | {"bbox_head.type": head}
        )
        lowered = lower(model, tiny.pipeline)
        whole.check(model, tiny.pipeline, lowered, tiny.image)
        whole.check_engines(lowered, tiny.image)


def test_fsaf_predicts_sides_in_units_of_its_anchors(whole, tiny, one_stage):
    model = one_stage(
        {"detector": "FSAF"},
        type="FSAFHead",
        feat_channels=16,
        stacked_convs=1,
        reg_decoded_bbox=True,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=1,
            scales_per_octave=1,
            ratios=[1.0],
            strides=[8, 16, 32, 64, 128],
        ),
        bbox_coder=dict(type="TBLRBBoxCoder", normalizer=4.0),
    )
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    coder = lowered.program.operations[-4].coder
    assert coder == DistanceCoder(4.0, of_prior=True, vertical_first=True)


def test_ssd_has_other_anchors_on_each_level(whole, tiny, one_stage, monkeypatch):
    model = one_stage(
        {
            "detector": "SingleStageDetector",
            "neck": dict(
                _delete_=True,
                type="SSDNeck",
                in_channels=[32, 64],
                out_channels=[32, 64, 24],
                level_strides=[2],
                level_paddings=[1],
                l2_norm_scale=20.0,
                use_depthwise=True,
                norm_cfg=dict(type="BN"),
                act_cfg=dict(type="ReLU6"),
            ),
            "backbone.out_indices": (2, 3),
            "bbox_head": dict(
                _delete_=True,
                type="SSDHead",
                in_channels=[32, 64, 24],
                num_classes=2,
                use_depthwise=True,
                norm_cfg=dict(type="BN"),
                act_cfg=dict(type="ReLU6"),
                anchor_generator=dict(
                    type="SSDAnchorGenerator",
                    scale_major=False,
                    strides=[16, 32, 64],
                    ratios=[[2, 3], [2], [2, 3]],
                    min_sizes=[16, 32, 48],
                    max_sizes=[32, 48, 64],
                ),
                bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
            ),
        }
    )
    model.neck.l2_norm.weight.data.uniform_(10, 30)  # which is made without numbers
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    (norm,) = (op for op in lowered.program.operations if isinstance(op, L2Norm))
    assert norm.weight == tuple(model.neck.l2_norm.weight.tolist()) and norm.eps == 1e-10
    candidates = lowered.program.operations[-4]
    assert candidates.activation == "softmax" and candidates.num_classes == 2
    assert [len(boxes) for boxes in candidates.base_anchors] == [6, 4, 6]
    assert candidates.strides == (16, 32, 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(min_bbox_size=4), "test_cfg.min_bbox_size=4 cannot be lowered; give 0"),
        (dict(nms=dict(type="soft_nms", iou_threshold=0.5)), "test_cfg.nms=.* cannot be lowered"),
        (dict(nms_pre=-1), "test_cfg.nms_pre=-1 cannot be lowered"),
    ],
)
def test_settings_that_no_operation_has(tiny, retina, monkeypatch, change, message):
    head = retina.bbox_head
    monkeypatch.setattr(head, "test_cfg", ConfigDict({**head.test_cfg, **change}))
    with pytest.raises(ConfigError, match=message):
        lower(retina, tiny.pipeline)


def test_heads_that_make_boxes_in_another_way(tiny, retina, monkeypatch):
    other = type("OtherHead", (type(retina.bbox_head),), {"_bbox_post_process": lambda self: None})
    monkeypatch.setattr(retina.bbox_head, "__class__", other)
    with pytest.raises(ConfigError, match="bbox_head OtherHead cannot be lowered"):
        lower(retina, tiny.pipeline)
    monkeypatch.undo()
    monkeypatch.setattr(retina.bbox_head.loss_cls, "custom_cls_channels", True, raising=False)
    with pytest.raises(ConfigError, match="bbox_head: FocalLoss has scores of its own"):
        lower(retina, tiny.pipeline)
