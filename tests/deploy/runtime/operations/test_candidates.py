import numpy as np
import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from lbwdet.deploy.runtime.operations import BoxCoder, Proposals
from lbwdet.deploy.runtime.reference.proposals import anchors, proposals

STRIDES, SIDES = (4, 8, 16), ((24, 32), (12, 16), (6, 8))
GENERATOR = AnchorGenerator(strides=list(STRIDES), ratios=[0.5, 1.0, 2.0], scales=[4])


def operation(**changes):
    base = [[tuple(map(float, anchor)) for anchor in level] for level in GENERATOR.base_anchors]
    settings = dict(
        scores=("s0", "s1", "s2"),
        deltas=("d0", "d1", "d2"),
        output="proposals",
        strides=STRIDES,
        base_anchors=tuple(map(tuple, base)),
        coder=BoxCoder((0.0,) * 4, (1.0,) * 4, 16 / 1000),
        pre_nms=300,
        max_boxes=50,
        iou_threshold=0.7,
        min_size=0.0,
    )
    return Proposals(**{**settings, **changes})


def random_heads(seed=0):
    random = np.random.default_rng(seed)
    scores = [random.normal(0, 1, (1, *side, 3)).astype(np.float32) for side in SIDES]
    deltas = [random.normal(0, 0.5, (1, *side, 12)).astype(np.float32) for side in SIDES]
    return scores, deltas


def test_anchors_are_those_of_mmdetection():
    expected = GENERATOR.grid_priors(SIDES, device="cpu")
    base = operation().base_anchors
    for level, (height, width) in enumerate(SIDES):
        found = anchors(base[level], STRIDES[level], height, width)
        assert np.array_equal(found, expected[level].numpy())


def test_proposals_are_those_of_mmdetection():
    from mmdet.models.dense_heads import RPNHead

    head = RPNHead(
        in_channels=8,
        anchor_generator=dict(
            type="AnchorGenerator", strides=list(STRIDES), ratios=[0.5, 1.0, 2.0], scales=[4]
        ),
        bbox_coder=dict(type=DeltaXYWHBBoxCoder),
        test_cfg=ConfigDict(
            nms_pre=300, max_per_img=50, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0
        ),
    )
    for seed in range(3):
        scores, deltas = random_heads(seed)
        expected = head.predict_by_feat(
            [torch.from_numpy(score).permute(0, 3, 1, 2) for score in scores],
            [torch.from_numpy(delta).permute(0, 3, 1, 2) for delta in deltas],
            batch_img_metas=[dict(img_shape=(90, 120))],
        )[0]
        assert isinstance(expected, InstanceData)
        found = proposals(operation(), scores, deltas, (90, 120))
        assert np.allclose(found, expected.bboxes.numpy(), atol=1e-3)


def test_boxes_that_are_too_small_go():
    scores, deltas = random_heads()
    everything = proposals(operation(min_size=-1.0, max_boxes=10**6), scores, deltas, (90, 120))
    large = proposals(operation(min_size=20.0, max_boxes=10**6), scores, deltas, (90, 120))
    sides = large[:, 2:] - large[:, :2]
    assert 0 < len(large) < len(everything)
    assert (sides > 20).all()


def test_nothing_may_be_left():
    scores, deltas = random_heads()
    assert proposals(operation(min_size=1e6), scores, deltas, (90, 120)).shape == (0, 4)


def test_levels_do_not_suppress_one_another():
    same = ((-8.0, -8.0, 8.0, 8.0),)
    one = operation(
        scores=("a", "b"),
        deltas=("c", "d"),
        strides=(4, 8),
        base_anchors=(same, same),
    )
    scores = [np.zeros((1, 2, 1, 1), np.float32), np.ones((1, 1, 1, 1), np.float32)]
    deltas = [np.zeros((1, *score.shape[1:3], 4), np.float32) for score in scores]
    found = proposals(one, scores, deltas, (100, 100))
    # level 1 is best; the two of level 0 overlap by 0.5
    assert found.tolist() == [[0, 0, 8, 8], [0, 0, 8, 8], [0, 0, 8, 12]]
