import copy

import numpy as np
import pytest
import torch
from mmdet.models.task_modules import AnchorGenerator, DistancePointBBoxCoder
from mmengine.config import ConfigDict
from torch import nn

from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.max_pool import MaxPool
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.errors import ConfigError


def test_the_program_of_faster_rcnn(tiny):
    operations = tiny.lowered.program.operations
    kinds = [type(operation).__name__ for operation in operations]
    assert kinds[0] == "Preprocess" and kinds[-1] == "Detections"
    assert kinds.count("MaxPool") == 2 and kinds.count("Conv") == 20 + 8 + 15 + 4
    assert len(tiny.lowered.weights) == 20 + 8 + 3 + 4
    by_output = {o.written: o for o in operations}
    pool = by_output["neck:max_pool2d_1"]
    assert isinstance(pool, MaxPool) and (pool.kernel, pool.stride) == ((1, 1), (2, 2))
    lateral = by_output["neck.lateral_convs.2.conv"]
    assert lateral.residual == "neck.lateral_convs.3.conv" and lateral.upsample
    fc = by_output["roi_head.bbox_head.shared_fcs.0"]
    assert isinstance(fc, Conv) and fc.kernel == (7, 7) and fc.input == "roi_features"


def test_the_settings_of_the_heads(tiny):
    operations = tiny.lowered.program.operations
    by_output = {o.written: o for o in operations}
    candidates, kept = (by_output[f"proposals.{part}"] for part in ("candidates", "kept"))
    assert isinstance(candidates, Candidates) and isinstance(kept, Suppress)
    head = tiny.model.rpn_head
    assert candidates.strides == (4, 8, 16, 32, 64) and len(candidates.base_anchors) == 5
    torch.testing.assert_close(
        torch.tensor(candidates.base_anchors[2]), head.prior_generator.base_anchors[2]
    )
    assert (candidates.pre_nms, candidates.min_size, candidates.activation) == (50, 0.0, "none")
    assert candidates.coder.stds == (1.0, 1.0, 1.0, 1.0) and candidates.score_threshold is None
    assert (kept.iou_threshold, kept.max_boxes, kept.group) == (0.7, 20, "level")
    (align,) = (o for o in operations if isinstance(o, RoIAlign))
    assert align.inputs == tuple(f"neck.fpn_convs.{i}.conv" for i in range(4))
    assert (align.size, align.sampling_ratio, align.finest_scale) == (7, 0, 56.0)
    regions, result = (by_output[f"detections.{part}"] for part in ("candidates", "kept"))
    assert isinstance(regions, RegionCandidates) and not regions.class_agnostic
    assert (regions.num_classes, regions.score_threshold) == (2, 0.05)
    assert regions.coder.stds == (0.1, 0.1, 0.2, 0.2) and regions.coder.clip
    assert (result.iou_threshold, result.max_boxes, result.group) == (0.5, 100, "class")


def test_quantized_and_float_layers(tiny):
    weights = tiny.lowered.weights
    assert weights["roi_head.bbox_head.fc_cls"].code == "uniform"
    assert weights["backbone.conv1"].bit_width == 4
    assert weights["neck.fpn_convs.0.conv"].bit_width == 6
    assert tiny.lowered.activations == {} and tiny.lowered.program.quantizations == {}


def test_boxes_that_leave_the_image(tiny):
    model = copy.deepcopy(tiny.model)
    model.roi_head.bbox_head.bbox_coder.clip_border = False
    *_, regions, _, _, _ = lower(model, tiny.pipeline).program.operations
    assert not regions.coder.clip


def test_deeper_backbones_of_our_own_parts(tiny):
    """ResNet-50 blocks, the caffe style (stride in the first convolution), LBW parts."""
    quant = dict(weight=dict(bit_width=3, code="dense"))
    model = tiny.build(
        model__backbone=dict(
            type="LBWResNet", depth=50, base_channels=4, style="caffe", quant=quant
        ),
        model__neck=dict(type="LBWFPN", in_channels=[16, 32, 64, 128], quant=quant),
        model__rpn_head=dict(type="LBWRPNHead", quant=quant),
        model__roi_head__bbox_head=dict(type="LBWShared2FCBBoxHead", quant=quant),
    )
    lowered = lower(model, tiny.pipeline)
    assert sum(name.startswith("backbone.") for name in lowered.weights) == 53
    first = next(o for o in lowered.program.operations if o.written == "backbone.layer2.0.conv1")
    assert first.stride == (2, 2) and first.kernel == (1, 1)
    last = next(o for o in lowered.program.operations if o.written == "backbone.layer2.0.conv3")
    assert last.residual == "backbone.layer2.0.downsample.0" and last.relu
    assert {weight.code for weight in lowered.weights.values()} == {"dense"}


def set_nms(model, **nms):
    model.roi_head.test_cfg = ConfigDict(dict(model.roi_head.test_cfg, nms=nms))


def set_softmax(model):
    model.rpn_head.use_sigmoid_cls = False


def set_unlimited(model):
    model.rpn_head.test_cfg = ConfigDict(dict(model.rpn_head.test_cfg, max_per_img=-1))


def set_other_coder(model):
    model.rpn_head.bbox_coder = DistancePointBBoxCoder()


def set_max_pooling(model):
    model.roi_head.bbox_roi_extractor.roi_layers[1].pool_mode = "max"


def set_other_anchors(model):
    other = type("Other", (AnchorGenerator,), {"grid_priors": None})
    model.rpn_head.prior_generator.__class__ = other


def set_other_neck(model):
    lateral = model.neck.lateral_convs[0]
    lateral.conv = nn.Sequential(lateral.conv, nn.Threshold(0.1, 20))


def set_mask_head(model):
    model.roi_head.mask_head = nn.Identity()
    model.roi_head.mask_roi_extractor = model.roi_head.bbox_roi_extractor
    model.roi_head.test_cfg = ConfigDict(dict(model.roi_head.test_cfg, mask_thr_binary=0.5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: set_nms(m, type="nms_match"), r"test_cfg.rcnn.nms=.*'nms_match'.* cannot"),
        (lambda m: set_nms(m, iou_threshold=0.5, max_num=7), "'max_num': 7"),
        (set_softmax, "rpn_head: softmax scores"),
        (set_unlimited, "test_cfg.rpn.max_per_img=-1 cannot be lowered"),
        (set_other_coder, "rpn_head.bbox_coder: DistancePointBBoxCoder cannot be lowered"),
        (set_max_pooling, r"RoIAlign\(pool_mode='max'\) cannot"),
        (set_other_anchors, "anchor_generator Other cannot be lowered; supported is AnchorGen"),
        (set_mask_head, "roi_head.mask_head Identity cannot be lowered; .*; --boxes-only exports"),
        (
            set_other_neck,
            r"neck.lateral_convs.0.conv.1 cannot be lowered: .* no rule for threshold",
        ),
    ],
)
def test_what_cannot_be_lowered_is_named(tiny, change, message):
    model = copy.deepcopy(tiny.model)
    change(model)
    with pytest.raises(ConfigError, match=message):
        lower(model, tiny.pipeline)


def test_a_head_that_does_other_things_is_refused(tiny):
    model = copy.deepcopy(tiny.model)

    class Other(type(model.rpn_head)):
        def _bbox_post_process(self, *args, **kwargs):
            raise NotImplementedError

    model.rpn_head.__class__ = Other
    with pytest.raises(ConfigError, match="rpn_head Other cannot be lowered; supported is RPNHead"):
        lower(model, tiny.pipeline)


def test_classes_that_suppress_one_another(whole, tiny, two_stage):
    model = two_stage()
    set_nms(model, type="nms", iou_threshold=0.5, class_agnostic=True, split_thr=1000)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    assert lowered.program.operations[-2].group == "all"


def test_seesaw_scores(whole, tiny, two_stage):
    model = two_stage(box_head=dict(loss_cls=dict(_delete_=True, type="SeesawLoss", num_classes=2)))
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    assert lowered.program.operations[-4].activation == "seesaw"


@pytest.mark.parametrize("sigmoid", [True, False])
def test_scores_of_v3det(whole, tiny, two_stage, sigmoid):
    loss = dict(_delete_=True, type="CrossEntropyCustomLoss", num_classes=2, use_sigmoid=sigmoid)
    model = two_stage(box_head=dict(loss_cls=loss))
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    assert lowered.program.operations[-4].activation == ("sigmoid" if sigmoid else "softmax")


def test_layers_of_unit_vectors(whole, tiny, two_stage):
    """What LVIS' detectors with SeesawLoss predict classes and masks with."""
    model = two_stage(
        box_head=dict(cls_predictor_cfg=dict(type="NormedLinear", tempearture=20)),
        mask=dict(predictor_cfg=dict(type="NormedConv2d", tempearture=20)),
    )
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    layer = lowered.weights["roi_head.bbox_head.fc_cls"]
    assert layer.code == "paper"
    lengths = np.square(layer.dequantize().reshape(len(layer.codes), -1)).sum(1) ** 0.5
    np.testing.assert_allclose(layer.gain, 1 / lengths, rtol=1e-5)


def test_scores_of_another_loss(tiny, monkeypatch):
    loss = tiny.model.roi_head.bbox_head.loss_cls
    monkeypatch.setattr(loss, "custom_cls_channels", True, raising=False)
    with pytest.raises(ConfigError, match="CrossEntropyLoss has scores of its own"):
        lower(tiny.model, tiny.pipeline)
