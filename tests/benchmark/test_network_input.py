import dataclasses

import numpy as np
import pytest

from lbwdet.benchmark.network_input import NetworkInput
from lbwdet.deploy.runtime.context import Run
from lbwdet.deploy.runtime.operations.preprocess import Preprocess


@pytest.mark.parametrize("seed", range(30))
def test_it_is_what_the_operation_computes(seed):
    example = Preprocess.example(np.random.default_rng(seed))
    run = Run({}, {}, example.image)
    expected = example.operation.compute(run).transpose(0, 3, 1, 2)
    fields = dataclasses.asdict(example.operation)
    read = NetworkInput({**fields, "size": list(fields["size"])})  # as JSON brings it
    read(np.full((7, 9, 3), 200, np.uint8))  # leaves nothing behind
    image, size, factor = read(example.image)
    np.testing.assert_array_equal(image, expected)
    assert tuple(size) == run.bounds[::-1]
    height, width = run.resized
    given = example.image.shape
    np.testing.assert_allclose(factor, (given[1] / width, given[0] / height), rtol=1e-6)


def test_every_image_in_one_size():
    example = Preprocess.example(np.random.default_rng(0))
    plain = dict(pad_to_square=False, pad_size=(0, 0), size_divisor=1, pad_divisor=1)
    fields = dataclasses.asdict(example.operation) | plain | dict(least_multiple=1)
    read = NetworkInput(fields, (24, 40))
    for shape in ((24, 40, 3), (60, 20, 3)):
        image, size, _ = read(np.zeros(shape, np.uint8))
        assert image.shape == (1, 3, 24, 40) and tuple(size) == (40, 24)
