import copy
import itertools
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.layers import calibration, quantize_, quantized_layers
from lbwdet.training.scheme_hook import SchemeHook, check_same_scheme, configured_scheme
from lbwdet.training.schemes import BCGD, Projection

RELAX = dict(type="binary_relax", growth=3.0, interval=0.5)
TWO_BITS = dict(weight=dict(bit_width=2))


def scheme_hook(**scheme):
    return (dict(type="SchemeHook", scheme=scheme), dict(type="EpochSeedHook"))


def equal(first: Runner, second: Runner) -> bool:
    state, other = first.model.state_dict(), second.model.state_dict()
    return list(state) == list(other) and all(torch.equal(state[k], other[k]) for k in state)


@pytest.mark.parametrize(
    "scheme",
    [
        dict(type="bcgd", rho=0),
        dict(type="binary_relax", lambda0=1e30),
    ],
    ids=str,
)
def test_limits_equal_the_projection_bit_for_bit(train, scheme):
    plain = train(work_dir="plain", hooks=(dict(type="EpochSeedHook"),))
    assert equal(train(hooks=scheme_hook(**scheme)), plain)


@pytest.mark.parametrize(
    "optimizer, counts",
    [
        (dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4), 1),
        (dict(type="AdamW", lr=1e-3), 2),
    ],
    ids=["SGD", "AdamW, accumulating"],
)
def test_bcgd_blends_and_then_lets_the_optimizer_step(make_config, optimizer, counts):
    """Each step is repeated by hand, with the gradients that the hook's training had."""
    rho, steps = 0.3, []
    config = make_config(
        quant=TWO_BITS,
        hooks=scheme_hook(type="bcgd", rho=rho),
        changes={
            "optim_wrapper.optimizer": dict(optimizer, _delete_=True),
            "optim_wrapper.accumulative_counts": counts,
            "optim_wrapper.clip_grad": None,
            "train_cfg.max_epochs": 2,
        },
    )
    runner = Runner.from_cfg(config)

    class Watch(Hook):
        priority = "VERY_HIGH"  # its pre-hook sees the weight before the blend

        def before_train(self, runner):
            self.layer = runner.model.rpn_head.rpn_conv
            self.mine = torch.nn.Parameter(self.layer.weight.detach().clone())
            settings = {k: v for k, v in optimizer.items() if k != "type"}
            self.optimizer = getattr(torch.optim, optimizer["type"])([self.mine], **settings)
            runner.optim_wrapper.optimizer.register_step_pre_hook(self.step)

        def step(self, *_):
            with torch.no_grad():
                projected = self.layer.quantizer.fake_quantize(self.mine)
                self.mine.copy_(self.mine + rho * (projected - self.mine))
            self.mine.grad = self.layer.weight.grad.clone()
            self.optimizer.step()

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            torch.testing.assert_close(self.layer.weight, self.mine, rtol=0, atol=1e-6)
            steps.append(self.layer.weight.detach().clone())

    runner.register_hook(Watch())
    runner.train()
    moved = [not torch.equal(old, new) for old, new in itertools.pairwise(steps)]
    assert moved == ([True] * 3 if counts == 1 else [True, False, True])


def test_bcgd_pulls_weights_towards_their_levels(train):
    def distance(runner):
        layer = runner.model.rpn_head.rpn_conv
        return (layer.weight - layer.quantized_weight().dequantize()).norm().item()

    plain = train(work_dir="plain", quant=TWO_BITS)
    assert distance(
        train(quant=TWO_BITS, hooks=scheme_hook(type="bcgd", rho=0.5))
    ) < 0.5 * distance(plain)


def test_bcgd_pulls_where_weights_count_in_steps_of_the_input():
    net = nn.Sequential(nn.Conv2d(4, 6, 3))
    quantize_(net, dict(bit_width=2), dict(bit_width=8, granularity="channel"))
    x = torch.randn(2, 4, 8, 8) * torch.logspace(-2, 2, 4)[:, None, None]
    with calibration(net):
        net(x)
    hook, layer = SchemeHook(dict(type="bcgd", rho=1.0)), net[0]
    hook._layers = [layer]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    optimizer.register_step_pre_hook(hook._blend)
    net(x).sum().backward()
    expected = layer.fake_quantized_weight().detach().clone()
    optimizer.step()
    assert torch.equal(layer.weight, expected)


def test_bcgd_leaves_frozen_and_unused_weights_alone(make_config):
    config = make_config(
        quant=TWO_BITS,
        hooks=scheme_hook(type="bcgd", rho=0.5),
        changes={"model.backbone.frozen_stages": 1},
    )
    runner = Runner.from_cfg(config)
    # A layer that no gradient reaches.
    runner.model.add_module("unused", quantize_(torch.nn.Linear(4, 4), **TWO_BITS))
    start = {}

    class Start(Hook):
        def before_train(self, runner):
            start.update(copy.deepcopy(runner.model.state_dict()))

    runner.register_hook(Start())
    runner.train()
    assert {"unused", "backbone.conv1"} < set(quantized_layers(runner.model))
    state = runner.model.state_dict()
    for name, changed in (("unused", 0), ("backbone.conv1", 0), ("rpn_head.rpn_conv", 1)):
        assert torch.equal(state[f"{name}.weight"], start[f"{name}.weight"]) == (not changed)


class Levels(Hook):
    """The number of distinct values of a weight in use, per iteration and per evaluation."""

    priority = "LOW"

    def __init__(self):
        self.relax, self.training, self.evaluated = [], [], []

    def _count(self, runner):
        layer = runner.model.rpn_head.rpn_conv
        return layer.fake_quantized_weight().unique().numel()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.relax.append(runner.model.rpn_head.rpn_conv.relax)
        self.training.append(self._count(runner))

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.evaluated.append(self._count(runner))


def test_binary_relax_ends_on_the_levels(make_config):
    config = make_config(
        quant=TWO_BITS,
        hooks=scheme_hook(**RELAX),
        changes={"train_cfg.max_epochs": 4, "train_cfg.val_interval": 1},
        evaluate=True,
    )
    runner = Runner.from_cfg(config)
    levels = Levels()
    runner.register_hook(levels)
    runner.train()
    assert levels.relax == [1, 3, 9, 27, 81, 243, float("inf"), float("inf")]
    assert min(levels.training[:6]) > 100 and set(levels.training[6:]) == {3}
    assert set(levels.evaluated) == {3}  # evaluation is at the projection from the start
    assert runner.model.rpn_head.rpn_conv.relax == float("inf")


@pytest.mark.parametrize(
    "scheme, wrapper",
    [(RELAX, "CPUAmpOptimWrapper"), (dict(type="bcgd", rho=0.3), "OptimWrapper")],
    ids=["binary_relax in mixed precision", "bcgd"],
)
def test_a_resumed_training_equals_the_uninterrupted_one(make_config, scheme, wrapper):
    changes = {"train_cfg.max_epochs": 3, "optim_wrapper.type": wrapper}
    whole = Runner.from_cfg(
        make_config(quant=TWO_BITS, hooks=scheme_hook(**scheme), changes=changes)
    )
    whole.train()
    config = make_config(
        quant=TWO_BITS, hooks=scheme_hook(**scheme), changes=changes, work_dir="resumed"
    )
    config.merge_from_dict(dict(load_from=f"{whole.work_dir}/epoch_1.pth", resume=True))
    resumed = Runner.from_cfg(config)
    resumed.train()
    assert resumed.iter == whole.iter == 6
    assert equal(resumed, whole)


def test_a_scheme_cannot_be_switched_on_resume(train, make_config):
    first = train(hooks=scheme_hook(type="bcgd", rho=0.1))
    config = make_config(hooks=scheme_hook(**RELAX), work_dir="resumed")
    config.merge_from_dict(dict(load_from=f"{first.work_dir}/epoch_1.pth", resume=True))
    with pytest.raises(CheckpointError, match=r"BCGD\(rho=0\.1\).* BinaryRelax\(.*load_from"):
        Runner.from_cfg(config).train()
    config = make_config(hooks=scheme_hook(**RELAX), work_dir="started")
    config.load_from = f"{first.work_dir}/epoch_1.pth"
    Runner.from_cfg(config).train()


@pytest.mark.parametrize(
    "changes",
    [{"train_cfg.max_epochs": 30}, {"train_dataloader.batch_size": 1}],
    ids=["more epochs, back from the second phase", "shorter epochs"],
)
def test_lambda_cannot_jump_on_resume(make_config, changes):
    scheme = scheme_hook(type="binary_relax", growth=3.0, interval=0.5, phase_2=0.6)
    two_epochs = {"train_cfg.max_epochs": 3}
    first = Runner.from_cfg(make_config(quant=TWO_BITS, hooks=scheme, changes=two_epochs))
    first.train()
    epoch = 2 if "train_cfg.max_epochs" in changes else 1

    def resume(**changed):
        config = make_config(
            quant=TWO_BITS, hooks=scheme, changes=two_epochs | changed, work_dir="resumed"
        )
        config.merge_from_dict(dict(load_from=f"{first.work_dir}/epoch_{epoch}.pth", resume=True))
        Runner.from_cfg(config).train()

    with pytest.raises(CheckpointError, match=r"had lambda .* would go on at .*load_from"):
        resume(**changes)
    resume()


class OneStep(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 4, bias=False)


@pytest.mark.parametrize("factor, blended", [(1.0, True), (float("inf"), False)])
def test_a_fused_optimizer_that_skips_its_step_blends_nothing(factor, blended):
    """A loss scaler calls it all the same, and tells it by ``found_inf``."""
    model = quantize_(OneStep(), **TWO_BITS)
    before = model.fc.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, fused=True)
    hook = SchemeHook(dict(type="bcgd", rho=0.5))
    hook._layers = [model.fc]
    optimizer.register_step_pre_hook(hook._blend)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale(factor * model.fc(torch.ones(1, 4)).sum()).backward()
    scaler.step(optimizer)
    assert torch.equal(model.fc.weight, before) is not blended


def test_schemes_of_configs_and_checkpoints(make_config):
    assert configured_scheme(make_config()) == Projection()
    assert configured_scheme(make_config(hooks=scheme_hook(type="bcgd"))) == BCGD()
    check_same_scheme({}, Projection(), "a.pth")
    with pytest.raises(CheckpointError, match=r"^a\.pth: was trained by the scheme Projection"):
        check_same_scheme({}, BCGD(), "a.pth")


@pytest.mark.parametrize(
    "told", [dict(type="x"), dict(type=["bcgd"]), dict(type="bcgd", rho="much"), dict(a=1), 5]
)
def test_schemes_that_no_training_has_written(told):
    with pytest.raises(CheckpointError, match=r"^a\.pth: what it says of its scheme cannot be: "):
        check_same_scheme(dict(lbwdet_scheme=told), Projection(), "a.pth")


def test_a_float_model_has_nothing_to_do_for_it(make_config):
    runner = Runner.from_cfg(make_config(quant=None, hooks=scheme_hook(type="bcgd")))
    with pytest.raises(
        ConfigError, match="'bcgd' is for quantized weights, and the model has none"
    ):
        runner.train()


@pytest.mark.parametrize("growth, warned", [(1.02, True), (1e3, False)])
def test_a_leap_at_the_switch_is_announced(train, growth, warned):
    runner = train(hooks=scheme_hook(type="binary_relax", growth=growth))
    (log,) = Path(runner.work_dir).glob("*/*.log")
    assert ("which is a leap" in log.read_text()) == warned
