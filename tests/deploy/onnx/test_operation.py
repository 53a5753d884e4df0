"""Every operation's example through ONNX Runtime equals what the operation computes."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from lbwdet.deploy.onnx.operation import export
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations import every_operation
from lbwdet.errors import ConfigError

OPERATIONS = {
    name: kind
    for name, kind in sorted(every_operation().items())
    if kind.__module__.startswith(
        "lbwdet.deploy.runtime.operations."
    )  # other tests may have operations of their own
}
SEEDS = 30


@dataclass
class Tolerance:
    """How far and how often an engine may be away.

    Attributes:
        steps: of a uint8 output.
        share: of all outputs of the seeds, that are away at all.
        real: of a float32 output, besides a ten-thousandth of it.
    """

    steps: int = 1
    share: float = 1 / 200
    real: float = 1e-4


EXACT = Tolerance(steps=0, share=0)
TOLERANCES = {
    # biases are whole units of the accumulator, which are coarse where a sum has a single term
    "Conv": Tolerance(share=1 / 50, real=2e-3),
    # one grey level, in the channel whose deviation is 1; of noise, a resized pixel in ten
    "Preprocess": Tolerance(steps=64, share=1 / 10, real=1),
    # numbers of one map alone are often halves, of which the last bit of a factor decides
    "Maximum": Tolerance(share=1 / 50),
    # a share next to nothing, rounded up
    "SoftmaxOfParts": Tolerance(share=1 / 30),
    # a sine next to nothing, rounded up
    "BoxEncoding": Tolerance(share=1 / 50),
    # the place of a neighbour is computed in float32
    # halves, of which weights of quarters make many, are rounded up here and to even there
    "Resize": Tolerance(share=1 / 10),
    "Upsample": Tolerance(steps=255, share=1 / 1000, real=np.inf),
    **dict.fromkeys(("Lookup", "MaxPool", "Detections", "Regions", "Suppress"), EXACT),
}


def example(name: str, seed: int) -> Example:
    """Maps of logits without ties, which a last bit decides."""
    random = np.random.default_rng(seed)
    found = OPERATIONS[name].example(random)
    values = {
        key: (value + random.normal(0, 0.01, value.shape)).astype(np.float32)
        if value.dtype == np.float32 and value.ndim == 4
        else value
        for key, value in found.values.items()
    }
    return dataclasses.replace(found, values=values)


@pytest.mark.parametrize("name", OPERATIONS)
def test_it_has_an_export_or_a_refusal_of_its_own(name):
    assert OPERATIONS[name] in export.registry


@pytest.mark.parametrize("real", [False, True], ids=["calibrated", "real"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_contract(name, real, case, engines):
    check(name, real, case, engines["onnxruntime"], SEEDS)


# OpenVINO gives no number for empty boxes, and has no order of equal scores.
ELSEWHERE = {"RoIAlign", "PSRoIAlign", "Suppress"}


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - ELSEWHERE))
def test_openvino(name, case, engines):
    check(name, False, case, engines["openvino"], seeds=3)


def check(name, real, case, run, seeds):
    tolerance = TOLERANCES.get(name, Tolerance())
    count = away = refused = 0
    for seed in range(seeds):
        try:
            made = case(example(name, seed), real)
        except ConfigError as error:
            assert "ONNX export knows no" in str(error)
            refused += 1
            continue
        for wanted, found in zip(made.expected, made.found(run), strict=True):
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            differ = found != wanted
            if wanted.dtype == np.uint8:
                assert np.abs(found.astype(int) - wanted).max(initial=0) <= tolerance.steps
            else:
                differ = ~np.isclose(found, wanted, rtol=1e-4, atol=min(tolerance.real, 1e-3))
                if wanted.ndim == 4:  # rows may change places, where scores are almost equal
                    limit = 1e-4 * np.abs(wanted) + tolerance.real
                    assert (np.abs(found - wanted) <= limit).all()
            count, away = count + wanted.size, away + differ.sum()
    assert (count or refused) and away <= tolerance.share * count
