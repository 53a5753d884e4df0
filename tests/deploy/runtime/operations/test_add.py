import numpy as np
import pytest

from lbwdet.deploy.runtime.alone import check_alone, compute_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

f32 = np.float32


@pytest.mark.parametrize("seed", range(30))
def test_number_by_number(seed):
    case = Add.example(np.random.default_rng(seed))
    operation, q_y, found = case.operation, case.quantizations["y"], compute_alone(case)
    assert found.dtype == np.uint8
    values = {name: np.broadcast_to(x, found.shape) for name, x in case.values.items()}
    for index in np.ndindex(*found.shape):
        t = None
        for name in operation.inputs:
            q = case.quantizations[name]
            centered = f32(int(values[name][index]) - q.zero_point)
            term = f32(centered * f32(q.scale / q_y.scale))
            t = term if t is None else f32(t + term)
        rounded = (np.ceil(t) if q_y.rounding == "ceil" else np.rint(t)) + q_y.zero_point
        low = q_y.zero_point if operation.relu else 0
        assert found[index] == min(max(rounded, low), q_y.maximum)


def test_the_random_cases_meet_everything():
    cases = [Add.example(np.random.default_rng(seed)) for seed in range(30)]
    assert {len(case.operation.inputs) for case in cases} == {2, 3, 4}
    assert {case.operation.relu for case in cases} == {True, False}
    assert len({x.shape for case in cases[:5] for x in case.values.values()}) > 5  # of one pixel
    assert {case.quantizations["y"].rounding for case in cases} == {"nearest", "ceil"}


def test_sums_by_hand():
    values = {"a": np.uint8([[[[0, 10, 20, 255]]]]), "b": np.uint8([[[[0, 100, 3, 255]]]])}
    quantizations = {
        "a": Quantization(0.5, 10),
        "b": Quantization(0.25),
        "y": Quantization(0.5, 5, 100),
    }
    found = compute_alone(Example(Add(("a", "b"), "y"), values, quantizations))
    # In halves: -10 + 0, 0 + 50, 10 + 1.5 (to the even 12), 245 + 127.5
    assert found.ravel().tolist() == [0, 55, 17, 100]
    found = compute_alone(Example(Add(("a", "b"), "y", relu=True), values, quantizations))
    assert found.ravel().tolist() == [5, 55, 17, 100]


def test_in_reals_before_it_is_calibrated():
    random = np.random.default_rng(0)
    values = {name: random.normal(0, 1, (1, 2, 3, 4)).astype(f32) for name in "abc"}
    total = values["a"] + values["b"] + values["c"]
    assert np.array_equal(compute_alone(Example(Add(tuple("abc"), "y"), values)), total)
    found = compute_alone(Example(Add(tuple("abc"), "y", relu=True), values))
    assert np.array_equal(found, np.maximum(total, 0))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 2, 3, 4), (1, 2, 3, 5)], "the maps that are added differ in size"),
        ([(1, 2, 3, 4), (1, 3, 2, 4)], "the maps that are added differ in size"),
        ([(1, 2, 3, 4)], "inputs has 1 entries; allowed are 2 to 64"),
    ],
)
def test_what_cannot_be_added(shapes, message):
    values = {f"x{n}": np.zeros(shape, np.uint8) for n, shape in enumerate(shapes)}
    quantizations = dict.fromkeys([*values, "y"], Quantization(1.0))
    with pytest.raises(ArtifactError, match=rf"^operation 0 \(Add\): {message}"):
        check_alone(Example(Add(tuple(values), "y"), values, quantizations))
