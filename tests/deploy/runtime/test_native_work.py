"""What the native engine counts as an operation's work, where its output says little of it."""

import re

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, run_alone
from lbwdet.deploy.runtime.coders import DeltaCoder, DistanceCoder, TwiceCoder
from lbwdet.deploy.runtime.native_library import NativeError, library_path
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.reassemble import Reassemble
from lbwdet.deploy.runtime.operations.region_candidates import RegionCandidates
from lbwdet.deploy.runtime.operations.selected_masks import SelectedMasks
from lbwdet.deploy.runtime.quantization import Quantization

pytestmark = pytest.mark.skipif(library_path() is None, reason="the native engine is not built")

ONE = Quantization(1.0)
DELTAS = DeltaCoder((0.0,) * 4, (1.0,) * 4, 16 / 1000)


def work_of(operation, values, **quantizations):
    """Of inputs of this size, as the engine says when it refuses them."""
    example = Example(operation, values, quantizations)
    check_alone(example)
    with pytest.raises(NativeError, match="multiplications and comparisons") as refused:
        run_alone(example, work_limit=1)
    return float(re.search(r"takes (\S+) mult", str(refused.value))[1])


@pytest.mark.parametrize("coder", [DistanceCoder(bins=256), DELTAS, TwiceCoder(DELTAS, DELTAS)])
@pytest.mark.parametrize("whole", [False, True])
def test_candidates_are_decoded(coder, whole):
    classes = 1 if whole else 10
    anchors = ((-8.0, -8.0, 8.0, 8.0),)
    operation = Candidates(
        ("s",), ("d",), "y", (8,), (anchors,), coder, classes, "none", 500, whole_anchors=whole
    )
    scores = np.zeros((1, 20, 50, classes), np.float32)
    deltas = np.zeros((1, 20, 50, coder.numbers), np.float32)
    work = work_of(operation, {"s": scores, "d": deltas})
    assert work > 2 * scores.size + deltas.size + 500 * 16 * coder.numbers


@pytest.mark.parametrize("coder", [DistanceCoder(bins=256), DELTAS])
def test_candidates_of_regions_are_decoded(coder):
    operation = RegionCandidates("s", "d", "b", "y", 3, True, coder, score_threshold=-1.0)
    values = {
        "s": np.zeros((100, 1, 1, 4), np.float32),
        "d": np.zeros((100, 1, 1, coder.numbers), np.float32),
        "b": np.zeros((100, 4), np.float32),
    }
    assert work_of(operation, values) > 300 * 16 * coder.numbers


def test_selected_masks_of_a_map_wider_than_the_output():
    operation = SelectedMasks(("x0", "x1"), "c", "y", (1, 1))
    values = {
        "x0": np.zeros((1, 1, 1, 1), np.uint8),
        "x1": np.zeros((1, 9, 10_000, 1), np.uint8),
        "c": np.zeros((30, 7), np.float32),
    }
    assert 2 * 30 * 10_000 <= work_of(operation, values, x0=ONE, x1=ONE) < 9 * 30 * 10_000


def test_reassembled_maps_have_powers_of_each_group():
    values = {
        "x": np.zeros((1, 2, 2, 256), np.uint8),
        "l": np.zeros((1, 2, 2, 256 * 25 * 4), np.float32),
    }
    operation = Reassemble("x", "l", "y", 5, 2, 256)
    assert work_of(operation, values, x=ONE, y=ONE) > 50 * values["l"].size
