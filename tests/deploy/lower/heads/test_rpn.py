import numpy as np
import pytest
import torch

from lbwdet.deploy.lower import lower
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model


@pytest.fixture(scope="module")
def rpn(tiny):
    config = tiny_config("unused", "unused", quant=dict(weight=dict(bit_width=4)))
    model = config.model
    model.detector = "RPN"
    del model.roi_head
    for name in ("train_cfg", "test_cfg"):
        model[name] = dict(rpn=model[name].rpn)
    torch.manual_seed(0)
    built = build_model(config).eval()
    tiny.randomize_(built)
    with torch.no_grad():
        for parameter in built.bbox_head.parameters():
            parameter.normal_(0, 0.1)
    return built


def test_proposals_are_what_is_detected(whole, tiny, rpn):
    lowered = lower(rpn, tiny.pipeline)
    whole.check(rpn, tiny.pipeline, lowered, tiny.image)
    candidates, rescale, suppress, result = lowered.program.operations[-4:]
    assert (candidates.activation, suppress.group, result.num_classes) == ("sigmoid", "level", 1)
    assert rescale.input == candidates.output


def test_scores_are_probabilities(whole, tiny, rpn):
    _, (boxes, scores, labels) = whole.in_reals(lower(rpn, tiny.pipeline), tiny.image)
    assert len(boxes) == 20 and ((scores > 0) & (scores < 1)).all()
    assert np.unique(labels).tolist() == [0]


def test_guided_anchors(whole, tiny):
    strides = [4, 8, 16, 32, 64]
    config = tiny_config("unused", "unused", quant=dict(weight=dict(bit_width=4)))
    anchors = dict(type="AnchorGenerator", strides=strides)
    config.model.rpn_head = dict(
        type="GARPNHead",
        in_channels=16,
        feat_channels=16,
        approx_anchor_generator=dict(
            anchors, octave_base_scale=4, scales_per_octave=3, ratios=[0.5, 1.0, 2.0]
        ),
        square_anchor_generator=dict(anchors, ratios=[1.0], scales=[4]),
        loc_filter_thr=0.4,
    )
    config.model.test_cfg.rpn.nms_post = 20
    config.model.train_cfg.rpn = None
    torch.manual_seed(0)
    model = build_model(config).eval()
    tiny.randomize_(model)
    for parameter in model.rpn_head.parameters():
        parameter.data.normal_(0, 0.05)
    lowered = lower(model, tiny.pipeline)
    whole.check(model, tiny.pipeline, lowered, tiny.image)
    whole.check_engines(lowered, tiny.image)
    kinds = [type(operation).__name__ for operation in lowered.program.operations]
    assert kinds.count("Quantize") == kinds.count("DeformedSamples") == 5
