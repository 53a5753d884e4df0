import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.concat import Concat
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

f32 = np.float32


@pytest.mark.parametrize("seed", range(30))
def test_number_by_number(seed):
    case = Concat.example(np.random.default_rng(seed))
    q_y, found = case.quantizations["y"], compute_alone(case)
    assert found.dtype == np.uint8
    assert found.shape[-1] == sum(value.shape[-1] for value in case.values.values())
    start = 0
    for name in case.operation.inputs:
        x, q = case.values[name], case.quantizations[name]
        part = found[..., start : start + x.shape[-1]]
        start += x.shape[-1]
        for index in np.ndindex(*x.shape):
            t = f32(f32(int(x[index]) - q.zero_point) * f32(q.scale / q_y.scale))
            rounded = (np.ceil(t) if q_y.rounding == "ceil" else np.rint(t)) + q_y.zero_point
            assert part[index] == min(max(rounded, 0), q_y.maximum)


def test_the_random_cases_meet_everything():
    cases = [Concat.example(np.random.default_rng(seed)) for seed in range(30)]
    assert {len(case.operation.inputs) for case in cases} == {1, 2, 3, 4}
    same = {case.quantizations["x0"] == case.quantizations["y"] for case in cases}
    assert same == {True, False}


def test_inputs_with_the_quantization_of_the_output_stay_what_they_are():
    for seed in range(30):
        case = Concat.example(np.random.default_rng(seed))
        quantization = case.quantizations["x0"]
        top = quantization.maximum
        values = {name: np.minimum(value, top) for name, value in case.values.items()}
        quantizations = dict.fromkeys(case.quantizations, quantization)
        found = compute_alone(Example(case.operation, values, quantizations))
        assert np.array_equal(found, np.concatenate(list(values.values()), -1))


def test_in_reals_before_it_is_calibrated():
    random = np.random.default_rng(0)
    values = {
        name: random.normal(0, 1, (1, 2, 3, channels)).astype(f32)
        for name, channels in (("a", 4), ("b", 1))
    }
    found = compute_alone(Example(Concat(("b", "a"), "y"), values))
    assert found.dtype == f32
    assert np.array_equal(found, np.concatenate([values["b"], values["a"]], -1))


@pytest.mark.parametrize("shape", [(1, 3, 2, 4), (1, 2, 4, 4), (1, 1, 3, 4)])
def test_what_cannot_be_joined(shape):
    values = {"a": np.zeros((1, 2, 3, 4), np.uint8), "b": np.zeros(shape, np.uint8)}
    quantizations = dict.fromkeys("aby", Quantization(1.0))
    with pytest.raises(ArtifactError, match="the maps that are joined differ in size"):
        check_alone(Example(Concat(("a", "b"), "y"), values, quantizations))
