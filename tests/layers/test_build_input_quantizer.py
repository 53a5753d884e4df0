import pytest
from torch import nn

from lbwdet.errors import ConfigError
from lbwdet.layers import InputQuantizer
from lbwdet.layers.build_input_quantizer import build_input_quantizer
from lbwdet.layers.channel_quantizer import ChannelInputQuantizer


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv2d(8, 4, 3), ChannelInputQuantizer),
        (nn.Conv2d(3, 4, 3), InputQuantizer),  # reads the image
        (nn.Conv1d(8, 4, 3), InputQuantizer),
        (nn.Linear(8, 4), InputQuantizer),
    ],
)
def test_channels_of_maps_have_steps_of_their_own(layer, kind):
    quantizer = build_input_quantizer(layer, dict(granularity="channel"), "head.conv")
    assert type(quantizer) is kind and quantizer.layer_name == "head.conv"
    assert type(build_input_quantizer(layer, {})) is InputQuantizer


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(granularity="pixel"), "granularity='pixel' is not known; choose one of tensor, chan"),
        (dict(granularity="channel", bit_width=2), "bit_width=2 with granularity='channel'"),
        (dict(depth=3), r"unknown activation settings \['depth'\]"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_input_quantizer(nn.Conv2d(8, 4, 3), settings)
