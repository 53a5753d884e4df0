import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.quantize import Quantize
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError


def test_it_is_what_pytorch_does():
    x = np.random.default_rng(0).normal(0, 5, (1, 5, 7, 3)).astype(np.float32)
    scale = 0.0625
    found = compute_alone(Example(Quantize("x", "y"), {"x": x}, {"y": Quantization(scale, 90)}))
    expected = torch.quantize_per_tensor(torch.from_numpy(x), scale, 90, torch.quint8).int_repr()
    assert np.array_equal(found, expected.numpy())


def test_steps_of_channels_and_what_is_no_number():
    x = np.float32([[[[1.0, 1.0], [np.nan, -np.inf]]]])
    steps = Quantization(0.25, 8, 255, exponents=(0, 2))
    found = compute_alone(Example(Quantize("x", "y"), {"x": x}, {"y": steps}))
    assert found.reshape(-1).tolist() == [12, 9, 0, 0]


def test_steps_that_are_too_small_are_refused():
    case = Example(
        Quantize("x", "y"), {"x": np.zeros((1, 1, 1, 1), np.float32)}, {"y": Quantization(2.0**-90)}
    )
    with pytest.raises(ArtifactError, match="outputs could reach"):
        check_alone(case)
