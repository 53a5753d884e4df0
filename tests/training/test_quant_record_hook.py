from types import SimpleNamespace

import pytest
from torch import nn

import lbwdet
from lbwdet.layers import quantize_
from lbwdet.training import QuantRecordHook


@pytest.mark.parametrize("bit_width", [3, 32])
def test_low_bit_checkpoints_say_so_and_float_ones_say_nothing(bit_width):
    model = quantize_(nn.Sequential(nn.Linear(2, 2)), weight=dict(bit_width=bit_width))
    checkpoint = dict(meta={})
    QuantRecordHook().before_save_checkpoint(SimpleNamespace(model=model), checkpoint)
    quant = {"0": "3bit paper exact tensor"}
    low_bit = dict(lbwdet=dict(version=lbwdet.__version__, quant=quant))
    assert checkpoint["meta"] == (low_bit if bit_width == 3 else {})
