import numpy as np
import pytest

from lbwdet.deploy.runtime import random_cases
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.validate import check_weight

SEEDS = range(60)


def randoms():
    return (np.random.default_rng(seed) for seed in SEEDS)


def test_maps():
    maps = [random_cases.feature_map(random) for random in randoms()]
    assert {x.dtype for x in maps} == {np.dtype(np.uint8)} and {x.shape[0] for x in maps} == {1, 2}
    assert {int(x.max()) <= 15 for x in maps} == {True, False}
    assert random_cases.feature_map(np.random.default_rng(0), 3, 2, count=5).shape[0] == 5
    assert random_cases.codes(np.random.default_rng(0), (0, 3)).shape == (0, 3)


def test_quantizations_fit_their_maps():
    """A zero point or an integer above the maximum would be no artifact's."""
    found = set()
    for random in randoms():
        x = random_cases.feature_map(random)
        quantization = random_cases.quantization_of(random, x)
        assert x.max() <= quantization.maximum and quantization.zero_point <= quantization.maximum
        found.add((quantization.zero_point, quantization.maximum, quantization.rounding))
    assert {(0, 15, "ceil"), (0, 255, "nearest"), (128, 255, "nearest")} <= found
    outputs = {random_cases.output_quantization(random, positive=True) for random in randoms()}
    assert {q.rounding for q in outputs} == {"nearest", "ceil"} and len(outputs) == 3
    for quantization in outputs:
        assert isinstance(quantization, Quantization)
        assert float(np.float32(quantization.scale)) == quantization.scale


@pytest.mark.parametrize("dilated", [True, False])
def test_a_map_holds_at_least_one_window(dilated):
    found = set()
    for random in randoms():
        kernel, padding, dilation, stride, x = random_cases.window(random, dilated)
        for axis in (0, 1):
            extent = (kernel[axis] - 1) * dilation[axis] + 1
            assert x.shape[axis + 1] + 2 * padding[axis] >= extent
        found.add((dilation, stride))
    assert ({dilation for dilation, _ in found} == {(1, 1)}) != dilated
    assert {stride for _, stride in found} == {(1, 1), (2, 2), (2, 1)}


def test_weights():
    found = set()
    for random in randoms():
        weight = random_cases.weight(random, (6, 4, 3, 3))
        check_weight("layer", weight)
        found |= {weight.code, weight.bit_width, len(weight.scale)}
        size = (weight.dequantize().reshape(6, -1) * weight.gain[:, None]) ** 2
        assert ((size.sum(1) < 2) & (size.sum(1) > 0.5)).mean() > 0.6
    assert found >= {"paper", "dense", "uniform", 1, 2, 3, 4, 5, 6, 8}


def test_boxes():
    boxes = random_cases.boxes(np.random.default_rng(0), 500, 60, 90)
    assert boxes.shape == (500, 4) and boxes.dtype == np.float32
    assert (boxes[:, 2:] >= boxes[:, :2]).all()
    empty = (boxes[:, 2:] == boxes[:, :2]).all(1)
    assert 0.05 < empty.mean() < 0.2
    assert boxes.min() < 0 and boxes[:, 2].max() > 90 and boxes[:, 3].max() > 60
    assert random_cases.boxes(np.random.default_rng(0), 0, 60, 90).shape == (0, 4)


def test_candidates():
    rows = random_cases.candidates(np.random.default_rng(0), 200)
    assert rows.shape == (200, 7) and rows.dtype == np.float32
    assert set(rows[:, 5]) == {0, 1, 2} and set(rows[:, 6]) == {0, 1}
    assert len(set(rows[:, 4])) < 50  # ties
