import dataclasses

import numpy as np
import pytest
import torch
from torchvision.ops import box_convert, nms

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.distinct_pixels import DistinctPixels
from lbwdet.errors import ArtifactError


def given(count=30, **among):
    random = np.random.default_rng(0)
    values = {
        f"{name}{level}": random.normal(0, 1, (1, *sides, channels)).astype(np.float32)
        for name, channels in (("scores", 3), ("boxes", 4))
        for level, sides in enumerate([(4, 5), (2, 3)])
    }
    names = {name: (f"{name}0", f"{name}1") for name in ("scores", "boxes")}
    operation = DistinctPixels(**names, output="y", count=count, iou_threshold=0.3)
    if among:
        numbers = np.array(among["among"], np.float32).reshape(1, 1, -1, 1)
        operation = dataclasses.replace(operation, among="among")
        values["among"] = numbers
    return Example(operation, values)


def of_torchvision(example, counts):
    scores, boxes = (
        torch.cat([torch.from_numpy(example.values[f"{name}{i}"]).flatten(0, 2) for i in (0, 1)])
        for name in ("scores", "boxes")
    )
    boxes = box_convert(boxes.sigmoid(), "cxcywh", "xyxy")[counts]
    return counts[nms(boxes, scores.amax(1).sigmoid()[counts], 0.3)].tolist()


def test_they_are_those_of_torchvisions_suppression():
    expected = of_torchvision(given(), torch.arange(26))
    assert 5 < len(expected) < 26
    found = compute_alone(given()).flatten().tolist()
    assert found == expected + [-1] * (30 - len(expected))
    assert compute_alone(given(3)).flatten().tolist() == expected[:3]


def test_some_count():
    numbers = [20, 3, 11, -1, 7, 25]
    found = compute_alone(given(9, among=numbers)).flatten().tolist()
    expected = of_torchvision(given(), torch.tensor([3, 7, 11, 20, 25]))
    assert [number for number in found if number >= 0] == expected


def test_with_the_first_all_count():
    whole = compute_alone(given())
    np.testing.assert_array_equal(compute_alone(given(among=[20, 0])), whole)


def test_maps_that_do_not_fit():
    example = given(among=[1, 2])
    values = example.values | {"among": example.values["among"].reshape(1, 2, 1, 1)}
    with pytest.raises(ArtifactError, match="pixels are named by a row of numbers"):
        check_alone(dataclasses.replace(example, values=values))
    values = example.values | {"boxes1": np.zeros((1, 2, 3, 5), np.float32)}
    with pytest.raises(ArtifactError, match="there is not a box for each score"):
        check_alone(dataclasses.replace(example, values=values))
