import dataclasses

import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.line_mean import LineMean
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("lines", ["columns", "rows"])
def test_it_is_pytorchs(lines):
    random = np.random.default_rng(0)
    x, logits = (random.normal(0, 2, (3, 5, 4, c)).astype(np.float32) for c in (6, 1))
    found = compute_alone(Example(LineMean("x", "l", "y", lines), {"x": x, "l": logits}))
    axis, weights = 1 if lines == "columns" else 2, torch.from_numpy(logits).sigmoid()
    shares = weights / weights.sum(axis, keepdim=True)
    expected = (torch.from_numpy(x) * shares).sum(axis, keepdim=True)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_a_weight_for_each_pixel():
    given = LineMean.example(np.random.default_rng(0))
    wrong = {**given.values, "logits": given.values["logits"].repeat(2, -1)}
    with pytest.raises(ArtifactError, match="there is not a weight for each pixel"):
        check_alone(dataclasses.replace(given, values=wrong))
