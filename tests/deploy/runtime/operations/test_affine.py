import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

f32 = np.float32


@pytest.mark.parametrize("seed", range(30))
def test_number_by_number(seed):
    case = Affine.example(np.random.default_rng(seed))
    operation, x, q_x = case.operation, case.values["x"], case.quantizations["x"]
    q_y, found = case.quantizations.get("y"), compute_alone(case)
    s_x, s_y = (np.broadcast_to(q.steps if q else 1.0, x.shape[-1]) for q in (q_x, q_y))
    assert found.shape == x.shape and found.dtype == (np.uint8 if q_y else f32)
    for index in np.ndindex(*x.shape):
        channel = index[-1]
        gain, bias = operation.gain[channel], operation.bias[channel]
        centered = f32(int(x[index]) - q_x.zero_point)
        t = f32(centered * f32(s_x[channel] * gain / s_y[channel])) + f32(bias / s_y[channel])
        if q_y is None:
            assert found[index] == (max(t, f32(0)) if operation.relu else t)
            continue
        q = (np.ceil(t) if q_y.rounding == "ceil" else np.rint(t)) + q_y.zero_point
        low = q_y.zero_point if operation.relu else 0
        assert found[index] == min(max(q, low), q_y.maximum)


def test_the_random_cases_meet_everything():
    cases = [Affine.example(np.random.default_rng(seed)) for seed in range(30)]
    assert len({(case.operation.relu, "y" in case.quantizations) for case in cases}) == 4


def test_in_reals_it_is_a_batch_norm():
    random = np.random.default_rng(0)
    norm = torch.nn.BatchNorm2d(5).eval()
    for part, low in ((norm.weight, -2), (norm.bias, -2), (norm.running_var, 0.5)):
        part.data.uniform_(low, 2)
    norm.running_mean.normal_()
    x = random.normal(0, 1, (2, 3, 4, 5)).astype(f32)
    gain = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    bias = (norm.bias - norm.running_mean * gain).detach()
    operation = Affine("x", "y", tuple(gain.tolist()), tuple(bias.tolist()))
    found = compute_alone(Example(operation, {"x": x}))
    expected = norm(torch.from_numpy(x).permute(0, 3, 1, 2)).detach().permute(0, 2, 3, 1)
    assert found.dtype == f32 and np.allclose(found, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(("gain", "bias"), [((1.0,), (1.0,)), ((1.0, 1.0), (1.0,))])
def test_one_number_per_channel(gain, bias):
    values = {"x": np.zeros((1, 2, 3, 2), np.uint8)}
    message = f"{len(gain)} gains and {len(bias)} biases for 2 channels"
    with pytest.raises(ArtifactError, match=rf"^operation 0 \(Affine\): {message}"):
        check_alone(Example(Affine("x", "y", gain, bias), values, {"x": Quantization(1.0)}))
