import copy
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from lbwdet.errors import CheckpointError, ConfigError
from lbwdet.layers import UncalibratedError, input_quantizers, quantized_layers
from lbwdet.training.run import check_model

W4A4 = dict(weight=dict(bit_width=4, code="dense"), activation=dict(bit_width=4))
SEEDED = (dict(type="EpochSeedHook"),)


class Watch(Hook):
    """The model's state when training starts, and alphas after each iteration."""

    priority = "LOW"

    def before_train(self, runner):
        self.start = copy.deepcopy(runner.model.state_dict())
        self.alphas = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        quantizers = input_quantizers(runner.model).values()
        self.alphas.append(torch.tensor([q.scale for q in quantizers]))


@pytest.fixture
def watched(make_config):
    def run(also: Hook | None = None, **options) -> tuple[Runner, Watch]:
        options.setdefault("quant", W4A4)
        runner = Runner.from_cfg(make_config(**options))
        watch = Watch()
        for hook in filter(None, (watch, also)):
            runner.register_hook(hook)
        runner.train()
        return runner, watch

    return run


def test_a_whole_detector_with_quantized_activations(watched):
    runner, watch = watched(changes={"train_cfg.max_epochs": 2}, evaluate=True)
    quantizers = input_quantizers(runner.model)
    assert len(quantizers) == len(quantized_layers(runner.model)) == 35
    assert all(q.is_calibrated and bool(q.alpha.isfinite()) for q in quantizers.values())
    kind = {name.removesuffix(".input_quantizer"): q for name, q in quantizers.items()}
    image = kind["backbone.conv1"]
    assert image.signed and image.bit_width == 8
    assert kind["backbone.layer1.0.conv1"].unsigned  # after the first ReLU
    assert kind["backbone.layer1.0.conv2"].unsigned  # after the second use of the same ReLU
    assert kind["rpn_head.rpn_cls"].unsigned  # after F.relu
    assert kind["rpn_head.rpn_conv"].signed  # a pyramid level
    assert kind["roi_head.bbox_head.shared_fcs.0"].signed
    assert kind["roi_head.bbox_head.fc_cls"].unsigned
    assert kind["roi_head.bbox_head.fc_cls"].bit_width == 4
    # Learned, but where batch norms that start from zero let no gradient through.
    assert all(
        not torch.equal(q.alpha, q.calibrated)
        for name, q in quantizers.items()
        if name.startswith(("neck.", "rpn_head.", "roi_head.", "backbone.conv1"))
    )

    # Calibration left nothing behind but itself.
    state = watch.start
    assert torch.equal(state["backbone.bn1.running_mean"], torch.zeros(8))
    assert int(state["backbone.bn1.num_batches_tracked"]) == 0


WARM_UP = dict(type="LinearLR", start_factor=0.5, by_epoch=False, begin=0, end=2)
RESTARTS = dict(
    type="CosineRestartLR",
    periods=[1, 9],
    restart_weights=[1, 0.5],
    eta_min_ratio=0.1,
    by_epoch=False,
)


@pytest.mark.parametrize(
    "schedule, scale",
    [(WARM_UP, 1), (WARM_UP, 0.25), (RESTARTS, 1)],
    ids=["warm-up", "scaled", "restarts"],
)
def test_alphas_follow_the_common_rate_where_the_first_layer_has_its_own(watched, schedule, scale):
    slow = dict(custom_keys={"backbone.conv1": dict(lr_mult=0.01)})
    changes = {
        "optim_wrapper.paramwise_cfg": slow,
        "param_scheduler": [schedule],
        "auto_scale_lr": dict(enable=True, base_batch_size=2 / scale),
    }
    runner, _ = watched(changes=changes, hooks=(dict(type="ActivationHook", lr_mult=0.1),))
    first, *others, last = runner.optim_wrapper.optimizer.param_groups
    common = scale * runner.optim_wrapper.optimizer.defaults["lr"]
    assert first["initial_lr"] == pytest.approx(0.01 * common)
    assert last["initial_lr"] == pytest.approx(0.1 * common) and last["weight_decay"] == 0
    assert len(last["params"]) == 35
    assert last["lr"] == pytest.approx(10 * first["lr"])
    assert last["lr"] == pytest.approx(0.1 * others[-1]["lr"])


def test_alphas_have_their_own_group(watched):
    optimizer = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.1)
    schedule = [dict(type="LinearLR", start_factor=0.5, by_epoch=False, begin=0, end=2)]
    runner, _ = watched(
        changes={"optim_wrapper.optimizer": optimizer, "param_scheduler": schedule},
        hooks=(dict(type="ActivationHook", lr_mult=0.1),),
    )
    first, last = runner.optim_wrapper.optimizer.param_groups
    alphas = {id(q.alpha) for q in input_quantizers(runner.model).values()}
    assert {id(p) for p in last["params"]} == alphas
    assert not alphas & {id(p) for p in first["params"]}
    assert (first["weight_decay"], last["weight_decay"]) == (0.1, 0.0)
    assert last["lr"] == pytest.approx(0.1 * first["lr"])
    assert first["lr"] == pytest.approx(0.01)  # the schedule ran, for both groups
    assert last["initial_lr"] == pytest.approx(0.001)


def test_equals_the_registered_parts(watched, make_config):
    """The optimizer exists before the hook quantizes, and after the parts are built."""
    by_hook, _ = watched(work_dir="hook")
    config = make_config(quant=None, work_dir="parts", hooks=(dict(type="ActivationHook"),))
    config.model.backbone.update(type="LBWResNet", quant=W4A4)
    config.model.neck.update(type="LBWFPN", quant=W4A4)
    config.model.rpn_head.update(type="LBWRPNHead", quant=W4A4)
    config.model.roi_head.bbox_head.update(type="LBWShared2FCBBoxHead", quant=W4A4)
    by_parts = Runner.from_cfg(config)
    by_parts.train()
    state, expected = by_parts.model.state_dict(), by_hook.model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_a_resumed_training_equals_the_uninterrupted_one(watched):
    changes = {"train_cfg.max_epochs": 2}
    whole, _ = watched(changes=changes, hooks=SEEDED)
    resume = dict(load_from=f"{whole.work_dir}/epoch_1.pth", resume=True)
    resumed, watch = watched(changes={**changes, **resume}, hooks=SEEDED, work_dir="resumed")
    state, expected = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    first = torch.load(resume["load_from"], weights_only=True)["state_dict"]
    assert all(torch.equal(watch.start[name], first[name]) for name in first)  # not calibrated anew


def test_starts_from_a_float_checkpoint_and_is_tested_as_it_was_trained(watched, make_config):
    float_runner, _ = watched(quant=None, work_dir="float")
    checkpoint = f"{float_runner.work_dir}/epoch_1.pth"
    config = make_config(quant=W4A4, changes={"load_from": checkpoint})
    check_model(config)
    runner, watch = watched(changes={"load_from": checkpoint})
    name = "backbone.layer1.0.conv1.weight"
    assert torch.equal(watch.start[name], float_runner.model.state_dict()[name])
    (log,) = Path(runner.work_dir).glob("*/*.log")
    assert "missing keys" not in log.read_text()

    config.merge_from_dict(dict(resume=True))
    with pytest.raises(CheckpointError, match=r"105 missing.*input_quantizer\.alpha"):
        check_model(config)
    check_model(make_config(changes={"load_from": f"{runner.work_dir}/epoch_1.pth"}, quant=W4A4))


def test_never_calibrated(make_config):
    config = make_config(quant=W4A4, evaluate=True)
    with pytest.raises(UncalibratedError, match=r"^backbone\.conv1: .* has seen no data"):
        Runner.from_cfg(config).val()


@pytest.mark.parametrize(
    "changes",
    [
        {"optim_wrapper.optimizer": dict(type="AdamW", lr=1e-3, _delete_=True)},
        {"optim_wrapper.type": "CPUAmpOptimWrapper"},
        {"optim_wrapper.accumulative_counts": 2},
        {"custom_hooks": [dict(type="EMAHook"), dict(type="QuantizeHook", quant=W4A4)]},
        {"model.backbone.frozen_stages": 1},
    ],
    ids=["AdamW", "bfloat16", "accumulation", "EMA", "frozen stages"],
)
def test_beside_what_mmengine_offers(watched, changes):
    runner, watch = watched(changes=changes, evaluate=True)
    middle = torch.stack([q.calibrated for q in input_quantizers(runner.model).values()])
    assert len(watch.alphas) == 2
    for alphas in watch.alphas:
        assert bool(((alphas >= middle / 8) & (alphas <= middle * 8)).all())
    moved = watch.alphas[-1] != middle
    assert moved[-4:].all()  # the box head
    assert bool(moved[0]) == ("model.backbone.frozen_stages" not in changes)


def test_an_exploding_resolution_is_held_and_named(watched):
    class Explode(Hook):
        priority = "VERY_HIGH"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            runner.model.rpn_head.rpn_conv.input_quantizer.alpha.data.mul_(1000)

    runner, _ = watched(also=Explode())
    quantizer = runner.model.rpn_head.rpn_conv.input_quantizer
    assert quantizer.scale == 8 * quantizer.calibrated
    (log,) = Path(runner.work_dir).glob("*/*.log")
    assert log.read_text().count("activation resolution of rpn_head.rpn_conv is 8 times") == 1


def test_does_nothing_without_quantized_activations(train):
    plain = train(work_dir="plain", hooks=SEEDED)
    hooked = train(hooks=(*SEEDED, dict(type="ActivationHook")))
    state, expected = hooked.model.state_dict(), plain.model.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert len(hooked.optim_wrapper.optimizer.param_groups) == 1


def test_loss_scaling_moves_the_limit(watched):
    class Scaled(Hook):
        priority = "VERY_HIGH"

        def before_train(self, runner):
            runner.optim_wrapper.loss_scaler = torch.amp.GradScaler("cpu", init_scale=512.0)

    runner, _ = watched(also=Scaled())
    limits = {q.gradient_limit for q in input_quantizers(runner.model).values()}
    assert limits == {512.0}


def test_bad_settings(make_config):
    with pytest.raises(ConfigError, match="num_batches=0; use 1 or more"):
        Runner.from_cfg(make_config(hooks=(dict(type="ActivationHook", num_batches=0),)))


def test_every_rank_takes_over_all_that_was_calibrated(watched, monkeypatch):
    sent = []
    monkeypatch.setattr("lbwdet.training.activation_hook.dist.broadcast", sent.append)
    quant = W4A4 | dict(activation=dict(bit_width=8, granularity="channel"))
    runner, _ = watched(quant=quant)
    addresses = {tensor.data_ptr() for tensor in sent}
    for quantizer in input_quantizers(runner.model).values():
        assert {tensor.data_ptr() for tensor in quantizer.state_dict().values()} <= addresses


def test_ranks_average_gradients_of_resolutions_before_they_clip_them(watched, monkeypatch):
    """The norm that they are clipped by is then the same everywhere."""
    did, clip = [], OptimWrapper._clip_grad
    dist = "lbwdet.training.activation_hook.dist"
    monkeypatch.setattr(f"{dist}.get_world_size", lambda: 2)
    monkeypatch.setattr(f"{dist}.all_reduce", lambda gradient, op: did.append(op))
    monkeypatch.setattr(OptimWrapper, "_clip_grad", lambda self: did.append("clip") or clip(self))
    schedule = [dict(type="LinearLR", start_factor=0.5, by_epoch=False, begin=0, end=2)]
    runner, _ = watched(changes={"param_scheduler": schedule})
    assert did == 2 * [*["mean"] * 35, "clip"]
    assert runner.optim_wrapper.step._with_counter  # by which schedulers know it
