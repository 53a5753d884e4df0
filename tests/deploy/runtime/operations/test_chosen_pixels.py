import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.chosen_pixels import ChosenPixels
from lbwdet.errors import ArtifactError

OPERATION = ChosenPixels(("a", "b"), "numbers", "y")


def given(numbers, channels=2):
    first = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    second = np.full((1, 1, 2, channels), 50, np.float32)
    second[0, 0, 1] = 60
    numbers = np.array(numbers, np.float32).reshape(1, 1, -1, 1)
    return Example(OPERATION, {"a": first, "b": second, "numbers": numbers})


def test_pixels_are_numbered_map_after_map():
    found = compute_alone(given([7, 0, 5, 6, 0]))
    assert found[0, 0, :, 0].tolist() == [60, 0, 10, 50, 0]
    assert found[0, 0, :, 1].tolist() == [60, 1, 11, 50, 1]


def test_none_has_no_numbers():
    assert not compute_alone(given([-1, 8, 1e30, np.inf])).any()


def test_maps_that_differ():
    with pytest.raises(ArtifactError, match="the maps differ in channels"):
        check_alone(given([0], channels=3))
