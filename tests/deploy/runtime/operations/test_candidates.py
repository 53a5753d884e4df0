import numpy as np
import pytest
import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.arithmetic.boxes import exp
from lbwdet.deploy.runtime.coders import DeltaCoder, DistanceCoder, TwiceCoder
from lbwdet.deploy.runtime.declaration import Kind
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.deploy.runtime.shapes import Rows
from lbwdet.errors import ArtifactError

STRIDES, SIDES = (4, 8, 16), ((24, 32), (12, 16), (6, 8))
GENERATOR = AnchorGenerator(strides=list(STRIDES), ratios=[0.5, 1.0, 2.0], scales=[4])


def operation(**changes):
    base = [[tuple(map(float, anchor)) for anchor in level] for level in GENERATOR.base_anchors]
    settings = dict(
        scores=("s0", "s1", "s2"),
        deltas=("d0", "d1", "d2"),
        output="candidates",
        strides=STRIDES,
        base_anchors=tuple(map(tuple, base)),
        coder=DeltaCoder((0.0,) * 4, (1.0,) * 4, 16 / 1000),
        num_classes=1,
        activation="none",
        pre_nms=300,
        min_size=0.0,
    )
    return Candidates(**{**settings, **changes})


def candidates(operation, scores, deltas, factors=(), resized=(90, 120)):
    """What it makes of one array per level."""
    values = {}
    for names, arrays in (
        (operation.scores, scores),
        (operation.deltas, deltas),
        (operation.factors, factors),
    ):
        values.update(zip(names, arrays, strict=True))
    found = compute_alone(Example(operation, values, resized=resized))
    assert found.dtype == np.float32 and found.shape[1:] == (7,)
    return found


def suppressed(rows, iou_threshold=0.7, max_boxes=50, group="level"):
    return compute_alone(Example(Suppress("x", "y", iou_threshold, max_boxes, group), {"x": rows}))


def random_heads(seed=0):
    random = np.random.default_rng(seed)
    scores = [random.normal(0, 1, (1, *side, 3)).astype(np.float32) for side in SIDES]
    deltas = [random.normal(0, 0.5, (1, *side, 12)).astype(np.float32) for side in SIDES]
    return scores, deltas


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
        found = suppressed(candidates(operation(), scores, deltas))
        assert np.allclose(found[:, :4], expected.bboxes.numpy(), atol=1e-3)
        logits = torch.from_numpy(found[:, 4])
        assert np.allclose(logits.sigmoid(), expected.scores.numpy(), atol=1e-6)


def test_boxes_that_are_too_small_go():
    scores, deltas = random_heads()
    everything = candidates(operation(min_size=-1.0), scores, deltas)
    large = candidates(operation(min_size=20.0), scores, deltas)
    sides = large[:, 2:4] - large[:, :2]
    assert 0 < len(large) < len(everything)
    assert (sides > 20).all()
    dropped = ((everything[:, 2:4] - everything[:, :2]) <= 20).any(1)
    assert np.array_equal(everything[~dropped], large)


def test_nothing_may_be_left():
    scores, deltas = random_heads()
    assert candidates(operation(min_size=1e6), scores, deltas).shape == (0, 7)
    assert candidates(operation(score_threshold=1.0), scores, deltas).shape[0] > 0
    none = operation(score_threshold=1.0, activation="sigmoid")
    assert candidates(none, scores, deltas).shape == (0, 7)


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
    found = suppressed(candidates(one, scores, deltas, resized=(100, 100)))
    # level 1 is best; the two of level 0 overlap by 0.5
    assert found[:, :4].tolist() == [[0, 0, 8, 8], [0, 0, 8, 8], [0, 0, 8, 12]]
    assert found[:, 6].tolist() == [1, 0, 0]


def test_ties_go_to_the_lower_number():
    """In the order y, x, anchor, class."""
    base = ((-4.0, -4.0, 4.0, 4.0), (-8.0, -8.0, 8.0, 8.0))
    one = operation(
        scores=("a",),
        deltas=("b",),
        strides=(10,),
        base_anchors=(base,),
        coder=DistanceCoder(clip=False),
        num_classes=3,
        pre_nms=8,
    )
    found = candidates(
        one, [np.zeros((1, 2, 1, 6), np.float32)], [np.ones((1, 2, 1, 8), np.float32)]
    )
    assert found[:, 1].tolist() == [-1] * 6 + [9] * 2
    assert found[:, 5].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def plain_sigmoid(x):
    return np.float32(1 / (1 + float(exp(np.array([min(max(-float(x), -700), 700)]))[0])))


def plain_scores(operation, logits):
    """The scores of one anchor."""
    if operation.activation == "none":
        return list(logits)
    if operation.activation == "sigmoid":
        return [plain_sigmoid(x) for x in logits]
    top = max(float(x) for x in logits)
    powers = [float(exp(np.array([float(x) - top]))[0]) for x in logits]
    total = 0.0
    for power in powers:
        total += power
    return [np.float32(power / total) for power in powers[:-1]]


def plain_candidates(operation, values, resized):
    """The page's words, one pair of an anchor and a class at a time."""
    f32, rows, survivors, counts = np.float32, [], [], []
    for level, base in enumerate(operation.base_anchors):
        logits = values[operation.scores[level]]
        _, height, width, channels = logits.shape
        each = channels // len(base)
        pairs, best = [], {}
        for y, x, a in np.ndindex(height, width, len(base)):
            scores = plain_scores(operation, logits[0, y, x, a * each : (a + 1) * each])
            factor = None
            if operation.factors:
                factor = values[operation.factors[level]][0, y, x, a]
                factor = factor if operation.plain_factors else plain_sigmoid(factor)
            if factor is not None and operation.factor_first:
                scores = [f32(score * factor) for score in scores]
                if operation.root:
                    scores = [f32(np.sqrt(score)) for score in scores]
            least = operation.factor_threshold
            if least >= 0 and not factor > f32(least):
                continue
            best[y, x, a] = max(scores)
            for label, score in enumerate(scores):
                if operation.best_class and label != scores.index(max(scores)):
                    continue
                threshold = operation.score_threshold
                if threshold is None or score > f32(threshold):
                    pairs.append((score, factor, label, y, x, a))
        if operation.whole_anchors:
            places = sorted(best, key=lambda place: -best[place])[: operation.pre_nms]
            pairs = [pair for place in places for pair in pairs if pair[3:] == place]
        else:
            pairs = sorted(pairs, key=lambda pair: -pair[0])[: operation.pre_nms]  # stable
        survivors.append(pairs)
        counts.append(height * width * len(base))
    if operation.together:
        every = [pair[0] for pairs in survivors for pair in pairs]
        left = sorted(range(len(every)), key=lambda index: -every[index])[: operation.pre_nms]
        ends = np.cumsum([0] + [len(pairs) for pairs in survivors])
        survivors = [
            [pair for index, pair in enumerate(pairs, start) if index in left]
            for pairs, start in zip(survivors, ends[:-1], strict=True)
        ]
    for level, pairs in enumerate(survivors):
        base, stride = operation.base_anchors[level], operation.strides[level]
        width = values[operation.scores[level]].shape[2]
        for score, factor, label, y, x, a in pairs:
            late = not (operation.factor_first or operation.unweighted)
            if factor is not None and late:
                score = f32(score * factor)
            step = operation.exact_strides[level] if operation.exact_strides else stride
            shift = f32(x) * f32(step), f32(y) * f32(step)
            anchor = [f32(f32(base[a][side]) + shift[side % 2]) for side in range(4)]
            box = np.zeros(4, f32)
            if operation.deltas:
                deltas = values[operation.deltas[level]][0, y, x].reshape(len(base), -1)[a]
                start = np.array([anchor], f32)
                box = operation.coder.decode(start, deltas[None], *resized, stride)[0]
            sides = box[2] - box[0], box[3] - box[1]
            if operation.things and label >= operation.things:
                continue
            if operation.min_size < 0 or min(sides) > f32(operation.min_size):
                number = sum(counts[:level]) + (y * width + x) * len(base) + a
                rows.append([*box, score, label, number if operation.numbered else level])
    return np.array(rows, f32).reshape(-1, 7)


SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_against_a_plain_loop(seed):
    case = Candidates.example(np.random.default_rng(seed))
    found = compute_alone(case)
    assert np.array_equal(found, plain_candidates(case.operation, case.values, case.resized))


def test_the_random_cases_meet_everything():
    operations = [Candidates.example(np.random.default_rng(seed)).operation for seed in SEEDS]
    met = {
        (operation.activation, bool(operation.factors), operation.factor_first)
        for operation in operations
    }
    assert len(met) == 9
    coders = {type(operation.coder) for operation in operations}
    assert coders == {DeltaCoder, DistanceCoder, TwiceCoder}
    for setting in (
        "best_class",
        "root",
        "whole_anchors",
        "plain_factors",
        "together",
        "unweighted",
        "numbered",
    ):
        assert {getattr(operation, setting) for operation in operations} == {True, False}
    assert {bool(operation.deltas) for operation in operations} == {True, False}
    assert {operation.factor_threshold for operation in operations} == {-1, 0.4}
    assert {operation.coder.clip for operation in operations} == {True, False}
    assert {operation.score_threshold is None for operation in operations} == {True, False}
    assert {operation.min_size for operation in operations} == {-1, 0, 4}
    assert {operation.things for operation in operations} == {0, 2}
    assert {operation.pre_nms for operation in operations} == {5, 40, 1000}
    assert {len(operation.strides) for operation in operations} == {1, 2, 3}


def torch_maps(arrays):
    return [torch.from_numpy(array).permute(0, 3, 1, 2) for array in arrays]


def assert_same_detections(rows, expected):
    """With the suppression of a dense head: class by class."""
    found = suppressed(rows, iou_threshold=0.5, max_boxes=100, group="class")
    assert len(found) == len(expected.scores) > 20
    assert np.allclose(found[:, 4], expected.scores.numpy(), atol=1e-6)
    assert np.allclose(found[:, :4], expected.bboxes.numpy(), atol=1e-3)
    assert np.array_equal(found[:, 5], expected.labels.numpy())


TEST = dict(nms_pre=200, score_thr=0.3, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100)


def test_scores_by_sigmoid_are_those_of_mmdetection():
    from mmdet.models.dense_heads import RetinaHead

    head = RetinaHead(
        num_classes=4,
        in_channels=8,
        anchor_generator=dict(
            type="AnchorGenerator", strides=list(STRIDES), ratios=[0.5, 1.0, 2.0], scales=[4]
        ),
        test_cfg=ConfigDict(**TEST, min_bbox_size=0),
    )
    random = np.random.default_rng(0)
    scores = [random.normal(0, 1, (1, *side, 12)).astype(np.float32) for side in SIDES]
    deltas = [random.normal(0, 0.5, (1, *side, 12)).astype(np.float32) for side in SIDES]
    (expected,) = head.predict_by_feat(
        torch_maps(scores),
        torch_maps(deltas),
        batch_img_metas=[dict(img_shape=(90, 120), scale_factor=(1.0, 1.0))],
        rescale=False,
    )
    one = operation(
        num_classes=4, activation="sigmoid", pre_nms=200, score_threshold=0.3, min_size=0.0
    )
    assert_same_detections(candidates(one, scores, deltas), expected)


def test_distances_and_factors_are_those_of_mmdetection():
    from mmdet.models.dense_heads import FCOSHead

    head = FCOSHead(
        num_classes=4,
        in_channels=8,
        strides=STRIDES,
        regress_ranges=((-1, 32), (32, 64), (64, 999)),
        test_cfg=ConfigDict(**TEST),
    )
    random = np.random.default_rng(0)
    scores = [random.normal(0, 1, (1, *side, 4)).astype(np.float32) for side in SIDES]
    distances = [random.uniform(1, 30, (1, *side, 4)).astype(np.float32) for side in SIDES]
    factors = [random.normal(0, 1, (1, *side, 1)).astype(np.float32) for side in SIDES]
    (expected,) = head.predict_by_feat(
        torch_maps(scores),
        torch_maps(distances),
        torch_maps(factors),
        batch_img_metas=[dict(img_shape=(90, 120), scale_factor=(1.0, 1.0))],
        rescale=False,
    )
    one = operation(
        num_classes=4,
        activation="sigmoid",
        pre_nms=200,
        score_threshold=0.3,
        min_size=-1.0,
        factors=("f0", "f1", "f2"),
        coder=DistanceCoder(),
        # a point is an anchor without extent, in the middle of its pixel
        base_anchors=tuple(((stride / 2,) * 4,) for stride in STRIDES),
    )
    assert_same_detections(candidates(one, scores, distances, factors), expected)


def map_of(channels, height=2, width=3):
    return np.zeros((1, height, width, channels), np.float32)


ONE_LEVEL = dict(
    scores=("s",), deltas=("d",), strides=(4,), base_anchors=(((-4.0, -4.0, 4.0, 4.0),) * 3,)
)


@pytest.mark.parametrize(
    ("changes", "maps", "message"),
    [
        ({}, dict(s=map_of(2)), "3 anchors of 1 classes, 2 scores, 12 deltas"),
        ({}, dict(d=map_of(9)), "3 anchors of 1 classes, 3 scores, 9 deltas"),
        (dict(num_classes=2), {}, "3 anchors of 2 classes, 3 scores, 12 deltas"),
        (dict(activation="softmax"), {}, "3 anchors of 1 classes, 3 scores, 12 deltas"),
        (dict(base_anchors=((),)), {}, "0 anchors of 1 classes"),
        ({}, dict(d=map_of(12, width=4)), "'s' and 'd' differ in size"),
        (dict(strides=(4, 8)), {}, r"one entry per level .* given are \[1, 1, 2, 1\]"),
        (
            dict(base_anchors=(((-4.0, -4.0, 4.0, 4.0), (1.0, 0.0, 0.0, 0.0), (0.0,) * 4),)),
            {},
            "an anchor of level 0 ends before it begins",
        ),
        (dict(factor_first=True), {}, "factor_first, without factors"),
        (dict(root=True), {}, "root, but not of products of an activation and a sigmoid"),
        (dict(best_class=True, whole_anchors=True), {}, "best_class of whole_anchors"),
        (dict(together=True, whole_anchors=True), {}, "together of whole_anchors"),
        (dict(unweighted=True), {}, "unweighted, without factors or with factor_first"),
        (dict(factor_threshold=0.5), {}, "factor_threshold, without factors"),
        (dict(factors=("f", "f")), dict(f=map_of(3)), "2 factors for 1 levels"),
        (dict(factors=("f",)), dict(f=map_of(1)), "'f' is not one factor per anchor"),
        (dict(factors=("f",)), dict(f=map_of(3, height=3)), "'f' is not one factor per anchor"),
        (dict(scores=("s",) * 65), {}, "scores has 65 entries; allowed are 1 to 64"),
        (dict(coder=DistanceCoder(0.0)), {}, "coder: scale is 0.0; allowed is 1e-06 to"),
    ],
)
def test_heads_that_do_not_fit_are_refused(changes, maps, message):
    values = {"s": map_of(3), "d": map_of(12), **maps}
    one = operation(**{**ONE_LEVEL, **changes})
    with pytest.raises(ArtifactError, match=rf"^operation 0 \(Candidates\): {message}"):
        check_alone(Example(one, values))


def test_a_head_that_fits():
    values = {"s": map_of(9), "d": map_of(12), "f": map_of(3)}
    one = operation(**ONE_LEVEL, num_classes=2, activation="softmax", factors=("f",))
    assert check_alone(Example(one, values)) == Rows(Kind.CANDIDATES, 2)


def test_numbered_by_anchor_in_the_place_of_the_level():
    scores, deltas = random_heads()
    settings = dict(pre_nms=40, min_size=-1.0)
    plain = candidates(operation(**settings), scores, deltas)
    found = candidates(operation(**settings, numbered=True), scores, deltas)
    assert np.array_equal(found[:, :6], plain[:, :6])
    every = np.concatenate([each.reshape(-1) for each in scores])
    numbers = found[:, 6].astype(int)
    assert np.array_equal(every[numbers], found[:, 4])
    firsts = np.cumsum([0, *(each.size for each in scores)])
    assert np.array_equal(np.searchsorted(firsts, numbers, "right") - 1, plain[:, 6])


def test_without_deltas_there_are_no_boxes():
    scores, deltas = random_heads()
    plain = candidates(operation(min_size=-1.0), scores, deltas)
    found = candidates(operation(min_size=-1.0, deltas=()), scores, ())
    assert not found[:, :4].any() and np.array_equal(found[:, 4:], plain[:, 4:])
