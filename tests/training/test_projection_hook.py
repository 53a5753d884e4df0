from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lbwdet.layers import project_together, quantize_, quantized_layers
from lbwdet.quantizers import NonFiniteWeightError
from lbwdet.training import ProjectionHook


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8, 4))
    settings = dict(bit_width=6, code="two-term", granularity="channel")
    return quantize_(layers, settings, overrides={"3": dict(bit_width=4)}).train()


def test_forward_and_gradient_are_those_without_it():
    x, results = torch.rand(2, 3, 5, 5), []
    for together in (False, True):
        model = net()
        if together:
            project_together(quantized_layers(model).values())
        loss = model(x).square().sum()
        loss.backward()
        results.append([loss, *(parameter.grad for parameter in model.parameters())])
    for alone, at_once in zip(*results, strict=True):
        assert alone.equal(at_once)


def test_only_what_changed_is_projected_and_layers_do_not_do_it_again(monkeypatch):
    model = net()
    layers = quantized_layers(model)
    project_together(layers.values())
    with torch.no_grad():
        layers["1"].weight[0, 0] += 1
    done = []
    for name, layer in layers.items():
        quantizer = layer.quantizer
        all_at_once = quantizer.fake_quantize_all

        def note(weights, names, axes, all_at_once=all_at_once):
            done.extend(names)
            return all_at_once(weights, names, axes)

        monkeypatch.setattr(quantizer, "fake_quantize_all", note)
        monkeypatch.setattr(quantizer, "fake_quantize", lambda *_, name=name: pytest.fail(name))
    project_together(layers.values())
    assert done == ["1"]
    model(torch.rand(1, 3, 5, 5))


def test_a_diverged_weight_is_named():
    model = net()
    with torch.no_grad():
        model[1].weight[0, 0, 0, 0] = torch.inf
    with pytest.raises(NonFiniteWeightError, match=r"^1: 1 of 576 weights"):
        project_together(quantized_layers(model).values())


def test_the_hook_leaves_a_processor_to_its_layers(monkeypatch):
    model, hook = net(), ProjectionHook()
    runner = SimpleNamespace(model=model)
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    assert all(layer._cache is None for layer in quantized_layers(model).values())
    model.to("meta")
    hook.before_train(runner)
    assert len(hook._layers) == 3
