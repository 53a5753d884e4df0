from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lbwdet.errors import ConfigError
from lbwdet.layers import describe_quantization, input_quantizers, quantized_layers

FOUR_BITS = dict(weight=dict(bit_width=4, code="dense"))


@pytest.fixture
def hooked(make_config):
    """A config whose model is float but for the hook."""

    def make(quant=FOUR_BITS, hooks=(), **options):
        hook = dict(type="QuantizeHook", quant=quant)
        return make_config(quant=None, hooks=(hook, *hooks), **options)

    return make


def run(config):
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def log_of(runner) -> str:
    (log,) = Path(runner.work_dir).glob("*/*.log")
    return log.read_text()


@pytest.mark.parametrize("model", ["faster-rcnn_r50_fpn", "retinanet_r50_fpn"])
def test_a_whole_detector_trains_and_is_evaluated(hooked, model):
    class MetricsRecorder(Hook):
        def after_val_epoch(self, runner, metrics=None):
            seen.append(metrics)

    seen: list[dict[str, float]] = []
    runner = Runner.from_cfg(hooked(model=model, evaluate=True))
    runner.register_hook(MetricsRecorder())
    before = {name: p.detach().clone() for name, p in runner.model.named_parameters()}
    runner.train()
    layers = quantized_layers(runner.model)
    assert len(layers) > 25 and {x.quantizer.num_magnitudes for x in layers.values()} == {7}
    for name, layer in layers.items():
        assert not torch.equal(layer.weight, before[f"{name}.weight"]), f"{name} was not trained"
        assert torch.equal(layer.fake_quantized_weight(), layer.quantized_weight().dequantize())
    assert len(seen) == 1 and 0 <= seen[0]["pascal_voc/mAP"] <= 1


def test_equals_the_other_doors(hooked, make_config):
    """One mechanism, many doors: hook, builder and parts give the same training, bit for bit."""
    by_hook = run(hooked(work_dir="hook"))
    config = make_config(quant=None, work_dir="parts")
    config.model.backbone.update(type="LBWResNet", quant=FOUR_BITS)
    config.model.neck.update(type="LBWFPN", quant=FOUR_BITS)
    config.model.rpn_head.update(type="LBWRPNHead", quant=FOUR_BITS)
    config.model.roi_head.bbox_head.update(type="LBWShared2FCBBoxHead", quant=FOUR_BITS)
    expected = by_hook.model.state_dict()
    for other in (run(config), run(make_config(quant=FOUR_BITS, work_dir="builder"))):
        assert describe_quantization(other.model) == describe_quantization(by_hook.model)
        state = other.model.state_dict()
        assert list(state) == list(expected)
        assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_says_where_it_does_not_reach(hooked):
    log = log_of(run(hooked(changes={"log_level": "INFO"})))
    assert "QuantizeHook: 35 layers compute with quantized weights" in log
    assert "they get a float one. model=dict(type='LBWDetector', detector='FasterRCNN'" in log


def test_leaves_alone_what_was_built_quantized(make_config):
    quant = dict(weight=dict(bit_width=6), activation=dict(bit_width=8))
    hook = dict(type="QuantizeHook", quant=dict(weight=dict(bit_width=2)))
    config = make_config(quant=quant, hooks=(hook,))
    config.custom_hooks = config.custom_hooks[1:]  # no ActivationHook but the one it adds
    runner = run(config)
    assert {x.quantizer.bit_width for x in quantized_layers(runner.model).values()} == {6}
    assert all(q.is_calibrated for q in input_quantizers(runner.model).values())
    assert "QuantizeHook: its settings {'weight': {'bit_width': 2}} are not used" in log_of(runner)


def test_keep_float(hooked):
    quant = dict(
        weight=dict(bit_width=6),
        keep_float=["backbone.conv1", "roi_head.bbox_head.fc_*"],
        overrides={"rpn_head.*": dict(bit_width=8)},
    )
    runner = run(hooked(quant))
    widths = {n: x.quantizer.bit_width for n, x in quantized_layers(runner.model).items()}
    assert "backbone.conv1" not in widths and "roi_head.bbox_head.fc_cls" not in widths
    assert widths["rpn_head.rpn_conv"] == 8 and widths["neck.fpn_convs.0.conv"] == 6


def test_a_pattern_without_a_match_stops_the_run_before_training(hooked, tmp_path):
    runner = Runner.from_cfg(hooked(dict(weight=dict(bit_width=4), keep_float=["fc"])))
    with pytest.raises(ConfigError, match="pattern 'fc' matches no layer of FasterRCNN"):
        runner.train()
    assert not list((tmp_path / "run").glob("*.pth"))


def test_frozen_stages_keep_their_weights_and_compute_quantized(hooked):
    config = hooked(
        changes={"model.backbone.frozen_stages": 1, "train_cfg.max_epochs": 2},
        hooks=(dict(type="CheckpointHook", interval=1),),
    )
    runner = run(config)
    backbone = runner.model.backbone
    frozen = quantized_layers(backbone.layer1) | {"conv1": backbone.conv1}
    trained = quantized_layers(backbone.layer2)
    first, last = (
        torch.load(f"{runner.work_dir}/epoch_{epoch}.pth", weights_only=True)["state_dict"]
        for epoch in (1, 2)
    )
    for name in first:
        if name.startswith(("backbone.conv1.", "backbone.layer1.", "backbone.bn1.weight")):
            assert torch.equal(first[name], last[name]), name
    assert not torch.equal(
        first["backbone.layer2.0.conv1.weight"], last["backbone.layer2.0.conv1.weight"]
    )
    for layer in frozen.values():
        assert layer.quantizer is not None and not layer.weight.requires_grad
        assert not torch.equal(layer.fake_quantized_weight(), layer.weight)
    assert all(layer.weight.requires_grad for layer in trained.values())
