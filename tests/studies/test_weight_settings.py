import pytest
from mmengine.config import Config

from lbwdet.layers import quantized_layers
from lbwdet.studies.weight_settings import with_weight_settings
from lbwdet.testing import tiny_config
from lbwdet.training.build import build_model

TERNARY = dict(bit_width=2)


def widths(cfg: Config) -> dict[str, int]:
    layers = quantized_layers(build_model(cfg))
    return {name: layer.quantizer.bit_width for name, layer in layers.items()}


@pytest.fixture
def cfg(tmp_path):
    return tiny_config(tmp_path, tmp_path)


def test_a_float_config_gets_a_hook(cfg):
    cfg.custom_hooks = [dict(type="QuantMonitorHook")]
    cfg.custom_imports = dict(imports="lbwdet.models", allow_failed_imports=False)
    changed = with_weight_settings(cfg, TERNARY)
    assert len(widths(changed)) > 20 and set(widths(changed).values()) == {2}
    assert changed.custom_imports.imports == ["lbwdet.models", "lbwdet.training"]
    assert [hook["type"] for hook in changed.custom_hooks] == ["QuantMonitorHook", "QuantizeHook"]
    assert len(cfg.custom_hooks) == 1 and widths(cfg) == {}  # the one given is as it was


def test_a_hook_keeps_its_exceptions(cfg):
    quant = dict(
        weight=dict(bit_width=6, code="dense"),
        keep_float=["backbone.conv1"],
        overrides={"neck.*": dict(bit_width=8)},
    )
    cfg.custom_hooks = [dict(type="QuantizeHook", quant=quant)]
    found = widths(with_weight_settings(cfg, TERNARY))
    assert "backbone.conv1" not in found
    assert {width for name, width in found.items() if name.startswith("neck.")} == {8}
    assert {width for name, width in found.items() if not name.startswith("neck.")} == {2}
    assert widths(with_weight_settings(cfg, dict(bit_width=32))) == {}


def test_parts_of_a_model(cfg):
    cfg.model.backbone.update(type="LBWResNet", quant=dict(weight=dict(bit_width=6)))
    found = widths(with_weight_settings(cfg, TERNARY))
    assert set(found.values()) == {2} and all(name.startswith("backbone.") for name in found)
