import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.picked import Picked
from lbwdet.errors import ArtifactError


def example(numbers, **settings):
    rows = np.zeros((len(numbers), 7), np.float32)
    rows[:, 6] = numbers
    maps = {
        "a": np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4) / 10,
        "b": -np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4),
    }
    return Example(Picked(("a", "b"), "rows", "y", **settings), {**maps, "rows": rows})


def test_the_channels_at_the_place_of_each():
    made = compute_alone(example([1, 6, 0]))
    assert made.shape == (3, 1, 1, 4)
    assert np.allclose(made[:, 0, 0], [[0.4, 0.5, 0.6, 0.7], [0, -1, -2, -3], [0, 0.1, 0.2, 0.3]])


def test_of_several_anchors_those_of_its_own():
    made = compute_alone(example([1, 13], anchors=2))
    assert np.allclose(made[:, 0, 0], [[0.2, 0.3], [-2, -3]])
    tanh = compute_alone(example([1, 13], anchors=2, tanh=True))
    assert np.allclose(tanh[:, 0, 0], np.tanh([[0.2, 0.3], [-2, -3]]))


def test_where_they_are():
    made = compute_alone(example([5, 6], strides=(8, 16), offset=0.5))
    assert made[:, 0, 0, 4:].tolist() == [[20.0, 12.0, 8.0], [8.0, 8.0, 16.0]]


def test_a_number_that_nobody_has():
    assert np.array_equal(compute_alone(example([99, -1])), compute_alone(example([6, 0])))


def test_maps_that_do_not_fit():
    with pytest.raises(ArtifactError, match=r"maps of \[4\] channels for 3 anchors"):
        check_alone(example([0, 1], anchors=3))
    made = example([0, 1])
    fewer = {**made.values, "b": made.values["b"][..., :2]}
    with pytest.raises(ArtifactError, match=r"maps of \[2, 4\] channels"):
        check_alone(dataclasses.replace(made, values=fewer))
