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
