import dataclasses

import numpy as np
import pytest
import torch
from torchvision.ops import deform_conv2d

from lbwdet.deploy.runtime.alone import check_alone, compute_alone, run_alone
from lbwdet.deploy.runtime.operation import Example
from lbwdet.deploy.runtime.operations.deformed_samples import DeformedSamples
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.errors import ArtifactError

SHAPE = (2, 7, 9, 8)
QUANTIZATIONS = {"x": Quantization(0.05, 30), "y": Quantization(0.06, 40)}
SETTINGS = [
    dict(kernel=(3, 3), padding=(1, 1)),
    dict(kernel=(3, 3), padding=(1, 1), modulated=True),
    dict(kernel=(3, 2), stride=(2, 1), padding=(2, 0), dilation=(2, 3), groups=2, deform_groups=4),
    dict(kernel=(2, 3), stride=(1, 2), groups=4, deform_groups=2, modulated=True),
]


def example(offsets=None, shape=SHAPE, **settings):
    """Of random numbers; ``offsets``: a function of their shape."""
    random = np.random.default_rng(0)
    operation = DeformedSamples("x", "offsets", "y", **settings)
    sides = [
        (side + 2 * p - (k - 1) * d - 1) // s + 1
        for side, p, k, d, s in zip(
            shape[1:3],
            operation.padding,
            operation.kernel,
            operation.dilation,
            operation.stride,
            strict=True,
        )
    ]
    channels = (2 + operation.modulated) * operation.taps * operation.deform_groups
    offsets = offsets or (lambda size: random.normal(0, 2, size))
    values = {
        "x": random.integers(0, 256, shape).astype(np.uint8),
        "offsets": offsets((shape[0], *sides, channels)).astype(np.float32),
    }
    return Example(operation, values, QUANTIZATIONS)


def real(example, name):
    quantization = example.quantizations[name]
    values = torch.from_numpy(example.values[name]).permute(0, 3, 1, 2).float()
    return (values - quantization.zero_point) * quantization.scale


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_convolution_of_them_is_torchvisions(settings):
    case = example(**settings)
    operation, channels = case.operation, SHAPE[-1]
    given = torch.from_numpy(case.values["offsets"]).permute(0, 3, 1, 2)
    shifts = operation.taps * operation.deform_groups
    torch.manual_seed(0)
    weight = torch.randn(12, channels // operation.groups, *operation.kernel)
    expected = deform_conv2d(
        real(case, "x"),
        given[:, : 2 * shifts].contiguous(),
        weight,
        stride=operation.stride,
        padding=operation.padding,
        dilation=operation.dilation,
        mask=given[:, 2 * shifts :].sigmoid() if operation.modulated else None,
    )
    found = compute_alone(case)
    assert found.dtype == np.uint8
    samples = real(Example(operation, {"y": found}, QUANTIZATIONS), "y")
    columns = weight.permute(0, 2, 3, 1).reshape(12, -1, 1, 1)
    got = torch.nn.functional.conv2d(samples, columns, groups=operation.groups)
    # Each sample is off by up to half a step of 0.06, and what float32 is off.
    limit = 0.0301 * columns.abs().sum((1, 2, 3))
    assert ((got - expected).abs().amax((0, 2, 3)) <= limit).all()


def test_without_offsets_it_reads_the_window():
    case = example(np.zeros, kernel=(3, 3), padding=(1, 1))
    alike = dataclasses.replace(
        case, quantizations={"x": QUANTIZATIONS["x"]} | {"y": QUANTIZATIONS["x"]}
    )
    padded = np.pad(case.values["x"], ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=30)
    taps = [padded[:, y : y + 7, x : x + 9] for y in range(3) for x in range(3)]
    assert np.array_equal(compute_alone(alike), np.concatenate(taps, -1))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, -3e9])
@pytest.mark.parametrize("modulated", [False, True])
def test_hostile_offsets_read_nothing(number, modulated):
    settings = dict(kernel=(3, 3), padding=(1, 1), modulated=modulated)
    case = example(lambda size: np.full(size, number), **settings)
    assert (compute_alone(case) == 40).all()
    assert (run_alone(case) == 40).all()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_hostile_logits(number):
    settings = dict(kernel=(3, 3), padding=(1, 1), modulated=True)
    case = example(np.zeros, **settings)
    case.values["offsets"][..., 18:] = number
    found = compute_alone(case)
    assert found.tobytes() == run_alone(case).tobytes()
    # 1, or nothing; of no number, too.
    plain = compute_alone(example(np.zeros, kernel=(3, 3), padding=(1, 1)))
    assert np.array_equal(found, plain if number > 0 else np.full_like(plain, 40))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (dict(groups=3), "8 channels do not fall into 3 groups"),
        (dict(deform_groups=3), "8 channels do not fall into 3 deform groups"),
        (dict(deform_groups=2), "the offsets are not 36 channels of the output's size"),
        (dict(modulated=True), "the offsets are not 27 channels of the output's size"),
        (dict(stride=(2, 2)), "the offsets are not 18 channels of the output's size"),
        (dict(kernel=(9, 9), padding=(0, 0)), "the window is larger than the map"),
        (dict(kernel=(0, 3)), "kernel is 0; allowed is 1 to 128"),
    ],
)
def test_refused(changes, problem):
    case = example(kernel=(3, 3), padding=(1, 1))
    operation = dataclasses.replace(case.operation, **changes)
    with pytest.raises(ArtifactError, match=problem):
        check_alone(dataclasses.replace(case, operation=operation))
