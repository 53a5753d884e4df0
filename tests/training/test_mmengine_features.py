"""Low-bit training beside what MMEngine offers: EMA, mixed precision, accumulation, ..."""

import copy

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lbwdet.layers import quantized_layers


def in_use_is_projected(model: torch.nn.Module) -> bool:
    """Whether every layer's forward pass would use the projection of its present weight."""
    return all(
        torch.equal(layer.fake_quantized_weight(), layer.quantized_weight().dequantize())
        for layer in quantized_layers(model).values()
    )


def test_ema_is_evaluated_with_its_own_quantized_weights(make_config):
    config = make_config(
        hooks=(dict(type="EMAHook", momentum=0.5),),
        changes={"train_cfg.max_epochs": 2},
        evaluate=True,
    )
    checks = []

    class Check(Hook):
        priority = "VERY_LOW"

        def after_train_epoch(self, runner):
            self.trained = copy.deepcopy(runner.model.state_dict())

        def before_val_iter(self, runner, batch_idx, data_batch=None):
            ema = next(hook for hook in runner.hooks if type(hook).__name__ == "EMAHook")
            model = runner.model
            # Swapped: the averaged weights are in the model, the trained ones in the copy.
            name, layer = next(iter(quantized_layers(model).items()))
            other = quantized_layers(ema.ema_model.module)[name]
            checks.append(torch.equal(other.weight, self.trained[f"{name}.weight"]))
            checks.append(not torch.equal(layer.weight, other.weight))
            checks.append(in_use_is_projected(model))

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            checks.append(in_use_is_projected(runner.model))
            if runner.epoch == 1 and batch_idx == 0:
                state = runner.model.state_dict()
                checks.append(all(torch.equal(state[n], v) for n, v in self.trained.items()))

    runner = Runner.from_cfg(config)
    runner.register_hook(Check())
    runner.train()
    assert len(checks) == 2 * 2 * 3 + 4 + 1
    assert all(checks)
    checkpoint = torch.load(f"{runner.work_dir}/epoch_2.pth", weights_only=True)
    keys = set(checkpoint["state_dict"])
    assert {key.removeprefix("module.") for key in checkpoint["ema_state_dict"]} - keys == {"steps"}


def test_bfloat16_mixed_precision(train):
    runner = train(changes={"optim_wrapper.type": "CPUAmpOptimWrapper"})
    parameters = list(runner.model.parameters())
    assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in parameters)
    full = train(work_dir="full")
    weight, expected = (r.model.rpn_head.rpn_conv.weight for r in (runner, full))
    assert not torch.equal(weight, expected)
    # Two steps apart by rounding to 8 bits of mantissa only.
    torch.testing.assert_close(weight, expected, rtol=0, atol=1e-3)


def test_gradient_accumulation_steps_on_the_mean_of_the_gradients(make_config):
    config = make_config(
        changes={"optim_wrapper.accumulative_counts": 2, "optim_wrapper.clip_grad": None}
    )
    runner = Runner.from_cfg(config)
    seen = []

    class Record(Hook):
        priority = "VERY_LOW"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            layer = runner.model.rpn_head.rpn_conv
            gradient = layer.weight.grad
            seen.append(
                (layer.weight.detach().clone(), None if gradient is None else gradient.clone())
            )

    runner.register_hook(Record())
    initial = {}

    class Initial(Hook):
        def before_train(self, runner):
            initial["weight"] = runner.model.rpn_head.rpn_conv.weight.detach().clone()

    runner.register_hook(Initial())
    runner.train()
    (first, gradient), (last, _) = seen
    assert torch.equal(first, initial["weight"]) and gradient is not None
    assert not torch.equal(last, first)
    assert in_use_is_projected(runner.model)


def test_activation_checkpointing(train):
    plain, checkpointed = (
        dict(
            train(work_dir=f"{on}", changes={"model.backbone.with_cp": on}).model.named_parameters()
        )
        for on in (False, True)
    )
    # Gradients of a block's two branches are added in another order, in the float model, too.
    for name, parameter in plain.items():
        torch.testing.assert_close(checkpointed[name], parameter, rtol=0, atol=1e-6)


def test_a_checkpoint_loads_into_the_float_model_and_back(train, make_config):
    trained = train()
    path = f"{trained.work_dir}/epoch_1.pth"
    for quant in (None, dict(weight=dict(bit_width=2))):
        runner = Runner.from_cfg(make_config(quant=quant, work_dir="other"))
        runner.load_checkpoint(path, strict=True)
        state, expected = runner.model.state_dict(), trained.model.state_dict()
        assert list(state) == list(expected)
        assert all(torch.equal(state[name], expected[name]) for name in expected)
