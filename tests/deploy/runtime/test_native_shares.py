"""Candidates by softmax: the engine leaves out anchors by a bound, and the reference none."""

import numpy as np
import pytest

from lbwdet.deploy.runtime import native
from lbwdet.deploy.runtime.alone import compute_alone, run_alone
from lbwdet.deploy.runtime.arithmetic.boxes import softmax
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.candidates import Candidates

pytestmark = pytest.mark.skipif(library_path() is None, reason="the native engine is not built")
ISAS = (
    [name for name, usable in native.instruction_sets().items() if usable] if library_path() else []
)
SIDE, ANCHORS = 6, 3


def example(logits, threshold, **changes):
    settings = dict(
        scores=("s",),
        deltas=(),
        output="y",
        strides=(8,),
        coder=DeltaCoder((0.0,) * 4, (1.0,) * 4, 16 / 1000),
        base_anchors=(((0.0, 0.0, 8.0, 8.0),) * ANCHORS,),
        num_classes=logits.shape[-1] - 1,
        activation="softmax",
        pre_nms=1000,
        score_threshold=threshold,
        min_size=-1.0,
    )
    values = {"s": logits.reshape(1, SIDE, SIDE, -1).astype(np.float32)}
    return Example(Candidates(**{**settings, **changes}), values)


def logits_of(classes, spread, background, seed=0):
    random = np.random.default_rng(seed)
    logits = random.normal(0, spread, (SIDE * SIDE * ANCHORS, classes + 1))
    logits[:, -1] += background
    return logits.astype(np.float32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("classes", [1, 7, 8, 20, 80])
@pytest.mark.parametrize(("spread", "background"), [(1.5, 0), (3, 8), (60, -40), (1e4, 0)])
def test_nothing_that_counts_is_left_out(isa, classes, spread, background):
    logits = logits_of(classes, spread, background)
    scores = np.sort(softmax(logits)[:, :-1].ravel())
    for rank in (-1, -2, -40, 0):  # a threshold that the next score passes by a bit, or not at all
        for threshold in (scores[rank], np.nextafter(scores[rank], np.float32(0))):
            if not 0 <= threshold < 1:
                continue
            case = example(logits, float(threshold))
            expected = compute_alone(case)
            assert np.array_equal(run_alone(case, isa=isa), expected), (rank, threshold)
            assert len(expected) == min(1000, np.count_nonzero(scores > np.float32(threshold)))


@pytest.mark.parametrize("changes", [{}, {"best_class": True}, {"whole_anchors": True}])
@pytest.mark.parametrize("threshold", [None, 0.3])
@pytest.mark.parametrize("kept", [1, 5])
def test_the_best_of_many(changes, threshold, kept):
    """Once so many are found, no worse one counts."""
    case = example(logits_of(20, 3, 2), threshold, pre_nms=kept, **changes)
    expected = compute_alone(case)
    assert len(expected) > 0
    assert np.array_equal(run_alone(case), expected)


@pytest.mark.parametrize("isa", ISAS)
def test_equal_logits(isa):
    """Shares of 1 / 21 each, against limits next to that."""
    logits = np.full((SIDE * SIDE * ANCHORS, 21), 100, np.float32)
    share = softmax(logits)[0, 0]
    for threshold, count in ((share, 0), (np.nextafter(share, np.float32(0)), 1000)):
        case = example(logits, float(threshold))
        assert len(compute_alone(case)) == count
        assert np.array_equal(run_alone(case, isa=isa), compute_alone(case))
