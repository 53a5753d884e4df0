import numpy as np
import pytest
import torch

from lbwdet.deploy.runtime.operations import Conv
from lbwdet.deploy.runtime.reference.convolution import conv, convolve, output_shape, upsample
from lbwdet.deploy.testing import random_conv_case

SEEDS = range(120)


def accumulators(operation, integers, x, zero_point):
    """The same in torch's int64 arithmetic: [n, h, w, o]."""
    value = torch.from_numpy(x.astype(np.int64) - zero_point).permute(0, 3, 1, 2)
    found = torch.nn.functional.conv2d(
        value,
        torch.from_numpy(integers.astype(np.int64)),
        stride=operation.stride,
        padding=operation.padding,
        dilation=operation.dilation,
    )
    return found.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_of_a_random_convolution(seed):
    case = random_conv_case(seed)
    operation, weight, quantizations = case.operation, case.weight, case.quantizations
    integers = weight.integers()
    q_x, q_y, q_r = (quantizations.get(name) for name in "xyr")
    acc = accumulators(operation, integers.integers, case.values["x"], q_x.zero_point)
    assert np.array_equal(
        convolve(operation, integers.integers, case.values["x"], q_x.zero_point), acc
    )
    found = conv(operation, weight, integers, quantizations, case.values)

    # what follows, number by number, each rounded to float32 by itself
    f32, s_y = np.float32, q_y.scale if q_y else 1.0
    for index in np.ndindex(*acc.shape):
        image, row, column, channel = index
        gain, bias = float(weight.gain[channel]), float(weight.bias[channel])
        multiplier = f32(q_x.scale * integers.scale[channel] * gain / s_y)
        t = f32(f32(acc[index]) * multiplier) + f32(bias / s_y)
        if q_y is None:
            assert found[index] == (max(t, f32(0)) if operation.relu else t)
            continue
        if operation.residual:
            r = case.values["r"]
            if operation.upsample:
                row = row * r.shape[1] // acc.shape[1]
                column = column * r.shape[2] // acc.shape[2]
            ratio = f32(q_r.scale / s_y)
            t = t + f32(f32(int(r[image, row, column, channel]) - q_r.zero_point) * ratio)
        q = (np.ceil(t) if q_y.rounding == "ceil" else np.rint(t)) + q_y.zero_point
        low = q_y.zero_point if operation.relu else 0
        assert found[index] == min(max(q, low), q_y.maximum)


def test_the_random_cases_meet_everything():
    cases = [random_conv_case(seed) for seed in SEEDS]
    met = {
        (case.operation.relu, case.operation.residual, case.operation.upsample, "y" in values)
        for case in cases
        for values in [case.quantizations]
    }
    assert (
        len(met) == 8
    )  # residual or not, upsampled or not, float or not, each with and without ReLU
    assert {case.operation.stride for case in cases} == {(1, 1), (2, 2), (2, 1)}
    assert {case.weight.code for case in cases} == {"paper", "dense", "uniform"}
    assert any(case.weight.integers().dropped for case in cases)
    assert {case.values["x"].shape[0] for case in cases} == {1, 2}


def test_sums_too_large_for_float32_are_exact():
    x = np.full((1, 1, 1, 3000), 255, np.uint8)
    x[..., 0] = 254
    integers = np.full((1, 3000, 1, 1), 64, np.int8)
    operation = Conv("layer", "x", "y", kernel=(1, 1))
    assert convolve(operation, integers, x, 0) == 64 * (255 * 3000 - 1)
    integers[0, 0] = 1
    odd = 64 * 255 * 2999 + 254 + 1  # has no float32
    x[..., 0] = 255
    assert convolve(operation, integers, x, 0) == odd


def test_no_boxes_no_output():
    case = random_conv_case(0)
    values = {name: value[:0] for name, value in case.values.items()}
    found = conv(case.operation, case.weight, case.weight.integers(), case.quantizations, values)
    assert found.shape[0] == 0


def test_upsampling_reads_the_pixel_that_torch_reads():
    value = np.arange(5 * 3, dtype=np.uint8).reshape(1, 5, 3, 1)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(value).permute(0, 3, 1, 2).float(), size=(10, 6), mode="nearest"
    )
    assert np.array_equal(upsample(value, 10, 6)[0, :, :, 0], expected[0, 0].numpy())


def test_output_shape():
    operation = Conv("layer", "x", "y", (3, 2), stride=(2, 1), padding=(1, 0), dilation=(2, 3))
    assert output_shape(operation, 10, 9) == (4, 6)
