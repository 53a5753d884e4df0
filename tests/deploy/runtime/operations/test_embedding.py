import dataclasses

import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operations.embedding import Embedding
from lbwdet.errors import ArtifactError


@pytest.mark.parametrize("seed", range(6))
def test_number_by_number(seed):
    case = Embedding.example(np.random.default_rng(seed))
    found, quantization = compute_alone(case), case.quantizations["y"]
    (weight,) = case.weights.values()
    reals = weight.dequantize().reshape(len(weight.codes), -1)
    reals = reals * weight.gain[:, None] + weight.bias[:, None]
    if case.operation.in_two:
        reals = reals[: len(reals) // 2] + reals[len(reals) // 2 :]
    reals = reals / quantization.scale
    whole = np.rint(reals) if quantization.rounding == "nearest" else np.ceil(reals)
    expected = np.clip(whole + quantization.zero_point, 0, quantization.maximum)
    assert found.shape == (1, case.operation.height, case.operation.width, reals.shape[1])
    differ = found.reshape(reals.shape) != expected
    assert differ.mean() < 0.05  # where the last bit of a real decides
    assert np.abs(found.reshape(reals.shape) - expected).max() <= 1


def test_a_weight_of_another_size():
    case = Embedding.example(np.random.default_rng(0))
    changed = dataclasses.replace(case.operation, height=case.operation.height + 1)
    with pytest.raises(ArtifactError, match="is no map of"):
        check_alone(dataclasses.replace(case, operation=changed))
