import pytest
import torch
from mmengine.config import Config

from lbwdet.errors import ConfigError
from lbwdet.layers import quantized_layers
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model, hook_quant_settings
from lbwdet.training.quantize_hook import QuantizeHook


def build(config):
    with torch.device("meta"):
        return build_model(config)


def test_the_model_is_quantized_as_the_hook_will_do():
    quant = dict(weight=dict(bit_width=4), keep_float=["*fc_cls"])
    hooks = {"custom_hooks": [dict(type="QuantizeHook", quant=quant)]}
    model = build(tiny_config("data", "run", changes=hooks))
    layers = quantized_layers(model)
    assert len(layers) == 34 and "roi_head.bbox_head.fc_cls" not in layers
    assert not quantized_layers(build(tiny_config("data", "run")))
    model = build(tiny_config("data", "run", quant=dict(weight=dict(bit_width=2)), changes=hooks))
    layers = quantized_layers(model)  # what is said where the model is built holds
    assert len(layers) == 35 and {layer.quantizer.bit_width for layer in layers.values()} == {2}


def test_what_reads_float_weights_past_the_layers_is_refused():
    changes = {"efficient_conv_bn_eval": ["backbone"]}
    build(tiny_config("data", "run", changes=changes))
    with pytest.raises(ConfigError, match="efficient_conv_bn_eval computes with the float weights"):
        build(tiny_config("data", "run", quant=dict(weight=dict(bit_width=2)), changes=changes))


@pytest.mark.parametrize("kind", ["QuantizeHook", "mmdet.QuantizeHook", QuantizeHook])
def test_the_hook_is_found_however_it_is_named(kind):
    hooks = [dict(type="EMAHook"), dict(type=kind, quant=dict(weight=dict(bit_width=2)))]
    assert hook_quant_settings(Config(dict(custom_hooks=hooks))) == [dict(weight=dict(bit_width=2))]
    assert hook_quant_settings(Config(dict(custom_hooks=None))) == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"model.type": "FasterRNN"}, "FasterRNN is not in"),
        ({"model.spine": 1}, "unexpected keyword argument 'spine'"),
        ({"model.backbone.depth": 19}, "invalid depth 19"),
    ],
)
def test_a_model_that_cannot_be_built_is_a_config_error(model, message):
    with pytest.raises(ConfigError, match=message):
        build(tiny_config("data", "run", changes=model))


def test_a_config_without_a_model():
    with pytest.raises(ConfigError, match="no 'model' in this config"):
        build_model(Config(dict(default_scope="mmdet")))
