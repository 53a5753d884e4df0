import pytest
import torch
from torch import nn

from lbwdet.layers import quantize_
from lbwdet.measuring.size import packed_bytes, weight_size


def network():
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 1, bias=False))


FIRST, SECOND = 3 * 5 * 9, 5 * 2  # weights of the two convolutions
FLOATS = 5 + 4 * 5  # bias; batch norm's weight, bias, mean and variance


@pytest.mark.parametrize(
    ("num_weights", "bit_width", "num_scales", "expected"),
    [(8, 1, 1, 1 + 4), (9, 2, 1, 3 + 1), (9, 6, 1, 7 + 1), (7, 3, 4, 3 + 4), (0, 4, 1, 1)],
)
def test_packed_bytes(num_weights, bit_width, num_scales, expected):
    assert packed_bytes(num_weights, bit_width, num_scales) == expected


def test_float_model():
    size = weight_size(network())
    assert size.weight_bytes == size.float_bytes == 4 * (FIRST + SECOND + FLOATS)
    assert size.bit_width == 32
    assert size.weights_by_bit_width == {32: FIRST + SECOND + FLOATS}


def test_every_layer_rounds_up_to_whole_bytes():
    size = weight_size(quantize_(network(), weight=dict(bit_width=6)))
    # 135 codes of 6 bits need 101.25 bytes, 10 need 7.5.
    assert size.weight_bytes == (102 + 1) + (8 + 1) + 4 * FLOATS
    assert size.float_bytes == 4 * (FIRST + SECOND + FLOATS)
    assert size.bit_width == 6


def test_a_scale_for_every_output_channel():
    size = weight_size(quantize_(network(), weight=dict(bit_width=4, granularity="channel")))
    assert size.weight_bytes == (68 + 5) + (5 + 2) + 4 * FLOATS


def test_mixed_bit_widths():
    model = quantize_(network(), weight=dict(bit_width=2), overrides={"2": dict(bit_width=8)})
    size = weight_size(model)
    assert size.weight_bytes == (34 + 1) + (10 + 1) + 4 * FLOATS
    assert size.bit_width == 2  # that of most weights
    assert size.weights_by_bit_width == {2: FIRST, 8: SECOND, 32: FLOATS}


def test_layers_kept_float_cost_four_bytes():
    size = weight_size(quantize_(network(), weight=dict(bit_width=2), keep_float=["0"]))
    assert size.weight_bytes == 4 * FIRST + (3 + 1) + 4 * FLOATS


def test_a_shared_weight_is_stored_once():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    model = quantize_(nn.Sequential(first, second), weight=dict(bit_width=4))
    assert weight_size(model).weight_bytes == 8 + 1


def test_the_state_is_left_alone():
    model = quantize_(network(), weight=dict(bit_width=6))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    weight_size(model)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
