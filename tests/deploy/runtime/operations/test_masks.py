import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.masks import Masks
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError


def example(channels):
    random = np.random.default_rng(0)
    rows = np.zeros((4, 7), np.float32)
    rows[:, 5] = [2, 0, 1, 2]
    scores = random.normal(0, 2, (4, 3, 5, channels)).astype(np.float32)
    return Example(Masks("scores", "candidates", "y"), {"scores": scores, "candidates": rows})


@pytest.mark.parametrize(("channels", "chosen"), [(3, [2, 0, 1, 2]), (1, [0] * 4)])
def test_the_sigmoid_of_the_class_of_each(channels, chosen):
    made = example(channels)
    scores = made.values["scores"][np.arange(4), ..., chosen]
    assert np.allclose(compute_alone(made)[..., 0], 1 / (1 + np.exp(-scores)), atol=1e-6)


def test_classes_without_a_map():
    with pytest.raises(ArtifactError, match="2 scores for 3 classes"):
        check_alone(example(2))
    made = example(3)
    fewer = {**made.values, "scores": made.values["scores"][:2]}
    with pytest.raises(ArtifactError, match="'scores' has not one map for each of 'candidates'"):
        check_alone(dataclasses.replace(made, values=fewer))


def test_as_whole_numbers():
    made = dataclasses.replace(example(3), quantizations={"y": Quantization(1 / 200, 10)})
    expected = np.clip(np.rint(compute_alone(example(3)) * np.float32(200)) + 10, 0, 255)
    assert np.array_equal(compute_alone(made), expected.astype(np.uint8))
