from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lbwdet.layers import is_exact, project_together, quantize_, quantized_layers
from lbwdet.training import ProjectionHook
from lbwdet.training import projection_hook as module
from lbwdet.training.projection_hook import project_before_forward


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8, 4))
    settings = dict(bit_width=6, code="two-term", granularity="channel")
    return quantize_(layers, settings, overrides={"3": dict(bit_width=4)}).train()


def test_only_what_changed_is_projected_and_layers_do_not_do_it_again(monkeypatch):
    model = net()
    layers = quantized_layers(model)
    (handle,) = project_before_forward(model, list(layers.values()))
    x = torch.rand(1, 3, 5, 5)
    model(x)
    with torch.no_grad():
        layers["1"].weight[0, 0] += 1
    done = []
    for name, layer in layers.items():
        quantizer = layer.quantizer
        all_at_once = quantizer.fake_quantize_all

        def note(weights, names, *args, all_at_once=all_at_once):
            done.extend(names)
            return all_at_once(weights, names, *args)

        monkeypatch.setattr(quantizer, "fake_quantize_all", note)
        monkeypatch.setattr(quantizer, "fake_quantize", lambda *_, name=name: pytest.fail(name))
    model(x)
    assert done == ["1"]
    model.eval()
    handle.remove()
    project_together(layers.values())
    model(x)


@pytest.mark.parametrize("works", ["graphs", "all at once"])
def test_graphs_that_fail_cost_no_more_than_graphs(works, monkeypatch):
    model, hook, given = net().to("meta"), ProjectionHook(), []
    exact = lambda layers, cuda_graph=False: cuda_graph == (works == "graphs")  # noqa: E731
    monkeypatch.setattr(module, "is_exact", exact)
    monkeypatch.setattr(module, "project_before_forward", lambda *args: given.extend(args) or [])
    hook.before_train(SimpleNamespace(model=model))
    assert given[3] is (works == "graphs")


def test_the_hook_leaves_a_processor_to_its_layers():
    model, hook = net(), ProjectionHook()
    hook.before_train(SimpleNamespace(model=model))
    assert not model._forward_pre_hooks
    hook.after_train(SimpleNamespace(model=model))


@pytest.mark.parametrize("cuda_graph", [True, False])
@pytest.mark.parametrize("finds_unused", [True, False])
def test_the_hook_projects_in_training_alone(finds_unused, cuda_graph, monkeypatch):
    model, hook, called = net().to("meta"), ProjectionHook(cuda_graph), []

    class Joint:
        def __init__(self, *given):
            self.given = given

        def start(self):
            called.append("starts")

        def __call__(self):
            called.append(self.given)

    monkeypatch.setattr(module, "JointProjection", Joint)
    monkeypatch.setattr(module, "is_exact", lambda *_, **__: True)
    monkeypatch.setattr(model, "forward", lambda x: x)
    model.data_preprocessor = nn.Identity()
    runner = SimpleNamespace(model=model)
    model.find_unused_parameters = finds_unused
    hook.before_train(runner)

    def step():
        model(model.data_preprocessor(1))

    step()
    expected = [(list(quantized_layers(model).values()), not finds_unused, cuda_graph)]
    assert called == ["starts"] * cuda_graph + expected
    called.clear()
    model.eval()
    step()
    hook.after_train(runner)
    model.train()
    step()
    assert not called


def test_a_device_that_cannot_is_told(monkeypatch):
    warnings: list[str] = []
    model, hook = net().to("meta"), ProjectionHook()  # no values: nothing can be compared
    hook.before_train(SimpleNamespace(model=model, logger=SimpleNamespace(warning=warnings.append)))
    assert not model._forward_pre_hooks
    assert "layer by layer" in warnings[0]


def test_other_weights_are_found_out(monkeypatch):
    layers = list(quantized_layers(net()).values())
    assert is_exact(layers)
    quantizer = layers[1].quantizer
    right = quantizer.fake_quantize_all
    monkeypatch.setattr(
        quantizer, "fake_quantize_all", lambda *given: [2 * each for each in right(*given)]
    )
    monkeypatch.setattr(layers[0], "quantizer", quantizer)
    assert not is_exact(layers)
