import torch

from lbwdet.deploy.lower import reassembly  # noqa: F401  (defines the call)
from lbwdet.deploy.runtime.operations.reassemble import Reassemble


def test_becomes_one_operation(lowering):
    def compute(_, x):
        return torch.ops.lbwdet.reassemble(x, x[:, :36], 3, 1, 2)

    *_, last = lowering.part(compute, torch.randn(1, 40, 5, 6)).operations
    assert last == Reassemble("input", last.logits, last.output, kernel=3, factor=2)
