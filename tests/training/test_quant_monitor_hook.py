import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

import lbwdet
from lbwdet.layers import quantized_layers


class WeightRecorder(Hook):
    """Keeps every layer's weight after each iteration."""

    priority = "VERY_LOW"

    def __init__(self):
        self.weights = {}

    def _keep(self, runner, step):
        self.weights[step] = {
            name: layer.weight.detach().clone()
            for name, layer in quantized_layers(runner.model).items()
        }

    def before_train(self, runner):
        self._keep(runner, 0)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._keep(runner, runner.iter + 1)


def logged(runner: Runner) -> dict[int, dict[str, float]]:
    """The hook's entries in scalars.json, by step."""
    (path,) = Path(runner.work_dir).glob("*/vis_data/scalars.json")  # one run, one file
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return {entry["step"]: entry for entry in entries if any(k.startswith("quant/") for k in entry)}


def expected(quantizer, weight, previous):
    """The four numbers from float64 arithmetic on the values alone."""
    values = quantizer.fake_quantize(weight).double()
    old = quantizer.fake_quantize(previous).double()
    top = values.abs().max()

    def codes(x):  # octaves below the top level, so that the scale does not count as a change
        return x.sign() * (1 + torch.log2(x.abs().max()) - torch.log2(x.abs().clamp(min=2.0**-200)))

    weight = weight.double()
    return dict(
        scale_exponent=torch.log2(top).item(),
        zeros=(values == 0).double().mean().item(),
        error=((weight - values).square().sum() / weight.square().sum()).item(),
        changed=(codes(values) != codes(old)).double().mean().item(),
    )


@pytest.mark.parametrize("interval, steps", [(2, [0, 2, 4]), (3, [0, 3, 4]), (100, [0, 4])])
def test_logged_numbers_equal_an_independent_computation(make_config, interval, steps):
    config = make_config(
        hooks=(dict(type="QuantMonitorHook", interval=interval),),
        changes={"train_cfg.max_epochs": 2},
    )
    runner = Runner.from_cfg(config)
    recorder = WeightRecorder()
    runner.register_hook(recorder)
    runner.train()
    entries = logged(runner)
    assert sorted(entries) == steps
    layers = quantized_layers(runner.model)
    for step, before in zip(steps, [0, *steps], strict=False):
        for name, layer in layers.items():
            numbers = expected(
                layer.quantizer, recorder.weights[step][name], recorder.weights[before][name]
            )
            for key, value in numbers.items():
                assert entries[step][f"quant/{name}/{key}"] == pytest.approx(
                    value, rel=1e-5, abs=1e-9
                ), (step, name, key)


def test_checkpoints_record_the_settings(train):
    runner = train(
        quant=dict(weight=dict(bit_width=5), keep_float=["backbone.conv1"]),
        hooks=(dict(type="QuantMonitorHook"),),
    )
    checkpoint = torch.load(f"{runner.work_dir}/epoch_1.pth", weights_only=True)
    meta = checkpoint["meta"]["lbwdet"]
    assert meta["version"] == lbwdet.__version__
    assert set(meta["quant"].values()) == {"5bit paper exact tensor"}
    assert "backbone.conv1" not in meta["quant"] and "rpn_head.rpn_conv" in meta["quant"]


def test_a_float_model_is_left_alone(train):
    runner = train(quant=None, hooks=(dict(type="QuantMonitorHook", interval=1),))
    assert logged(runner) == {}
    checkpoint = torch.load(f"{runner.work_dir}/epoch_1.pth", weights_only=True)
    assert "lbwdet" not in checkpoint["meta"]


def test_the_log_has_a_line_per_interval_and_a_table_at_the_end(train):
    runner = train(
        hooks=(dict(type="QuantMonitorHook", interval=1),), changes={"log_level": "INFO"}
    )
    (path,) = Path(runner.work_dir).glob("*/*.log")
    text = path.read_text()
    for step in (0, 1, 2):
        assert f"quant [{step}] 35 layers  zeros: 0." in text
    assert "quantized layers after training" in text
    assert "exponent   zeros   error" in text
