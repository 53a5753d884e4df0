import copy

import torch
from torch import nn

from lbwdet.layers import quantize_, quantize_as_built_, quantized_as_built, quantized_layers

W4 = dict(weight=dict(bit_width=4))


def test_the_mark_is_seen_from_around_and_survives_copies():
    inside = nn.Sequential(nn.Linear(2, 2))
    around = nn.Sequential(inside, nn.Linear(2, 2))
    assert not quantized_as_built(around)
    assert quantize_as_built_(inside, W4) is inside
    assert list(quantized_layers(around)) == ["0.0"]
    assert quantized_as_built(around) and quantized_as_built(copy.deepcopy(around))
    assert list(around.state_dict()) == ["0.0.weight", "0.0.bias", "1.weight", "1.bias"]


def test_quantize_itself_leaves_none():
    assert not quantized_as_built(quantize_(nn.Linear(2, 2), **W4))


def test_a_module_saved_whole_keeps_it(tmp_path):
    torch.save(quantize_as_built_(nn.Linear(2, 2), W4), tmp_path / "whole.pt")
    assert quantized_as_built(torch.load(tmp_path / "whole.pt", weights_only=False))
