import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.slice import Slice
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

X = np.arange(2 * 5 * 7 * 6, dtype=np.uint8).reshape(2, 5, 7, 6)
STEP = Quantization(0.5)


def case(**settings):
    return Example(Slice("x", "y", **settings), {"x": X}, {"x": STEP, "y": STEP})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, X),
        (dict(start=(1, 2)), X[:, 1:, 2:]),
        (dict(step=(2, 3)), X[:, ::2, ::3]),
        (dict(start=(1, 0), step=(2, 2)), X[:, 1::2, ::2]),
        (dict(channels=(2, 3)), X[..., 2:5]),
        (dict(channels=(4, 0)), X[..., 4:]),
        (dict(start=(4, 6), step=(9, 9), channels=(5, 1)), X[:, 4:, 6:, 5:]),
    ],
)
def test_it_is_numpys_slice(settings, expected):
    found = compute_alone(case(**settings))
    assert np.array_equal(found, expected)
    described = check_alone(case(**settings))
    assert found.shape[1:] == (
        described.height.smallest,
        described.width.smallest,
        described.channels,
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(channels=(6, 0)), "channels 6 to 6 of 6"),
        (dict(channels=(4, 3)), "channels 4 to 7 of 6"),
        (dict(start=(5, 0)), "larger than the map of the smallest image"),
        (dict(step=(0, 1)), "step is 0; allowed is 1 to 128"),
    ],
)
def test_what_is_not_there_is_refused(settings, message):
    with pytest.raises(ArtifactError, match=message):
        check_alone(case(**settings))


def test_its_numbers_keep_their_quantization():
    wrong = dataclasses.replace(case(), quantizations={"x": STEP, "y": Quantization(0.25)})
    with pytest.raises(ArtifactError, match="differ in quantization"):
        check_alone(wrong)
