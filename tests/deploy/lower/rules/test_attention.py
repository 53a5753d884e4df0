import torch

from lbwdet.deploy.runtime.operations.softmax_pool import SoftmaxPool


def test_a_mean_of_pixels_weighted_by_a_softmax(lowering):
    def compute(n, x):
        weights = x[:, 1:2].flatten(2).softmax(-1).unsqueeze(-1)
        return torch.matmul(x.flatten(2).unsqueeze(1), weights).view(2, 3, 1, 1)

    first, pool = lowering.check(compute).operations
    assert pool == SoftmaxPool("input", first.output, pool.output)
