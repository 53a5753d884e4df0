import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.place_attention import PlaceAttention
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("seed", range(8))
def test_number_by_number(seed):
    """In reals, by plain loops over queries, values and heads."""
    case = PlaceAttention.example(np.random.default_rng(seed))
    one = case.operation
    query, value = (
        (case.values[n].astype(np.float32) - case.quantizations[n].zero_point)
        * np.float32(case.quantizations[n].scale)
        for n in "qv"
    )
    channels, (rows, columns, depth) = query.shape[3], value.shape[1:]
    across, down = (np.array(t).reshape(-1, channels) for t in (one.across, one.down))
    expected = np.zeros((*query.shape[:3], depth))
    c, d = channels // one.heads, depth // one.heads
    for n, y, x in np.ndindex(query.shape[:3]):
        for head in range(one.heads):
            own = slice(head * c, (head + 1) * c)
            logits = np.zeros((rows, columns))
            for j, i in np.ndindex(rows, columns):
                of_x = across[x - i * one.step + (columns - 1) * one.step, own]
                of_y = down[y - j * one.step + (rows - 1) * one.step, own]
                logits[j, i] = query[n, y, x, own] @ of_x + query[n, x, y, own] @ of_y
            weights = np.exp(logits - logits.max())
            part = value[n][..., head * d : (head + 1) * d]
            mean = (part * (weights / weights.sum())[..., None]).sum((0, 1))
            expected[n, y, x, head * d : (head + 1) * d] = mean
    found = compute_alone(Example(one, {"q": query, "v": value}))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_distances_that_have_no_numbers():
    case = PlaceAttention.example(np.random.default_rng(0))
    wrong = dataclasses.replace(case.operation, across=case.operation.across[:-1])
    with pytest.raises(ArtifactError, match=r"numbers for .* distances and"):
        check_alone(dataclasses.replace(case, operation=wrong))
