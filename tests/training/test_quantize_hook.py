import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lbwdet.errors import ConfigError
from lbwdet.layers import quantized_layers


@pytest.mark.parametrize("model", ["faster-rcnn_r50_fpn", "retinanet_r50_fpn"])
def test_a_whole_detector_trains_and_is_evaluated(make_config, model):
    class MetricsRecorder(Hook):
        def after_val_epoch(self, runner, metrics=None):
            seen.append(metrics)

    seen: list[dict[str, float]] = []
    runner = Runner.from_cfg(make_config(model=model, evaluate=True))
    runner.register_hook(MetricsRecorder())
    before = {name: p.detach().clone() for name, p in runner.model.named_parameters()}
    runner.train()
    layers = quantized_layers(runner.model)
    assert len(layers) > 25 and {x.quantizer.num_magnitudes for x in layers.values()} == {7}
    for name, layer in layers.items():
        assert not torch.equal(layer.weight, before[f"{name}.weight"]), f"{name} was not trained"
        assert torch.equal(layer.fake_quantized_weight(), layer.quantized_weight().dequantize())
    assert len(seen) == 1 and 0 <= seen[0]["pascal_voc/mAP"] <= 1


def test_equals_the_registered_parts(train, make_config):
    """One mechanism, many doors: hook and LBW parts give the same training, bit for bit."""
    by_hook = train(work_dir="hook")
    quant = dict(weight=dict(bit_width=4, code="dense"))
    config = make_config(quant=None, work_dir="parts")
    config.model.backbone.update(type="LBWResNet", quant=quant)
    config.model.neck.update(type="LBWFPN", quant=quant)
    config.model.rpn_head.update(type="LBWRPNHead", quant=quant)
    config.model.roi_head.bbox_head.update(type="LBWShared2FCBBoxHead", quant=quant)
    by_parts = Runner.from_cfg(config)
    by_parts.train()
    state, expected = by_parts.model.state_dict(), by_hook.model.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_keep_float(train):
    runner = train(
        quant=dict(
            weight=dict(bit_width=6),
            keep_float=["backbone.conv1", "roi_head.bbox_head.fc_*"],
            overrides={"rpn_head.*": dict(bit_width=8)},
        )
    )
    widths = {n: x.quantizer.bit_width for n, x in quantized_layers(runner.model).items()}
    assert "backbone.conv1" not in widths and "roi_head.bbox_head.fc_cls" not in widths
    assert widths["rpn_head.rpn_conv"] == 8 and widths["neck.fpn_convs.0.conv"] == 6


def test_a_pattern_without_a_match_stops_the_run_before_training(make_config, tmp_path):
    runner = Runner.from_cfg(make_config(quant=dict(weight=dict(bit_width=4), keep_float=["fc"])))
    with pytest.raises(ConfigError, match="pattern 'fc' matches no layer of FasterRCNN"):
        runner.train()
    assert not list((tmp_path / "run").glob("*.pth"))


def test_frozen_stages_keep_their_weights_and_compute_quantized(train):
    runner = train(
        changes={"model.backbone.frozen_stages": 1, "train_cfg.max_epochs": 2},
        hooks=(dict(type="CheckpointHook", interval=1),),
    )
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
