"""Parts of networks, lowered and run in reals beside PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn

from lbwdet.deploy.lower.draft import Part
from lbwdet.deploy.lower.fusions import FUSIONS, fuse
from lbwdet.deploy.lower.rule import apply_rules
from lbwdet.deploy.lower.rules import RULES  # noqa: F401  (registers them)
from lbwdet.deploy.lower.trace import trace
from lbwdet.deploy.runtime.context import LayerNumbers, Run


class Net(nn.Module):
    """Layers to compute something with; what, is given from outside."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.a = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.b = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.other = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 8 * 8, 5)
        self.vector_norm = nn.BatchNorm1d(5)
        for norm in (self.norm, self.other, self.vector_norm):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 1.5)


class Lowering:
    """Lowers ``compute(net, sample)``; the sample is [2, 3, 16, 16] unless another is given."""

    def __init__(self):
        torch.manual_seed(0)
        self.net = Net().eval()
        self.sample = torch.randn(2, 3, 16, 16)

    def part(self, compute, sample=None, fusions=FUSIONS, net=None) -> Part:
        return self._lower(compute, sample, fusions, net)[0]

    def check(self, compute, sample=None, fusions=FUSIONS, net=None) -> Part:
        """The part, which in reals gives what PyTorch does, up to float32 sums."""
        net, sample = net or self.net, self.sample if sample is None else sample
        part, graph = self._lower(compute, sample, fusions, net)
        layers = {
            name: LayerNumbers(
                graph.constants[layer.weight]
                .detach()
                .numpy()
                .reshape(len(layer.gain), -1, *layer.kernel),
                np.ones(len(layer.gain)),
                np.float32(layer.gain),
                np.float32(layer.bias),
            )
            for name, layer in part.layers.items()
        }
        run = Run({}, layers, np.zeros((1, 1, 3), np.uint8))
        run.values["input"] = sample.permute(0, 2, 3, 1).numpy()
        for operation in part.operations:
            run.values[operation.written] = operation.compute(run)
        with torch.no_grad():
            expected = compute(net, sample.clone())
        expected = expected if isinstance(expected, tuple) else (expected,)
        for name, tensor in zip(part.outputs, expected, strict=True):
            found = torch.from_numpy(run.values[name]).permute(0, 3, 1, 2).reshape(tensor.shape)
            torch.testing.assert_close(found, tensor, atol=2e-5, rtol=1e-5)
        return part

    def _lower(self, compute, sample, fusions, net):
        graph = trace(net or self.net, compute, self.sample if sample is None else sample)
        draft = apply_rules(graph)
        fuse(draft, fusions)
        return draft.finished(dict.fromkeys(graph.inputs, "input")), graph


@pytest.fixture(scope="package")
def lowering() -> Lowering:
    return Lowering()
