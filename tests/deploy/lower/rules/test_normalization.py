import pytest
from torch import nn
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.errors import ConfigError


def test_a_norm_by_itself(lowering):
    part = lowering.check(lambda n, x: n.norm(F.max_pool2d(n.stem(x), 2)))
    norm = part.operations[-1]
    assert isinstance(norm, Affine) and norm.output == "norm:batch_norm"
    lowering.check(lambda n, x: n.vector_norm(n.fc(n.stem(x).flatten(1))), fusions=())


def test_without_parameters_of_its_own(lowering):
    net = nn.Sequential(nn.BatchNorm2d(3, affine=False)).eval()
    net[0].running_mean.normal_()
    lowering.check(lambda n, x: n(x), net=net)


@pytest.mark.parametrize("functional", [False, True])
def test_it_must_not_learn(lowering, functional):
    def learning(n, x):
        y = n.stem(x)
        if functional:  # a change in place through a view: the trace is another one
            y[:, 0].zero_()
        return F.batch_norm(y, n.norm.running_mean, n.norm.running_var, training=True)

    message = "in training mode" if not functional else "cannot be lowered"
    with pytest.raises(ConfigError, match=message):
        lowering.part(learning)


def test_of_a_flattened_map_it_has_too_many_numbers(lowering):
    net = nn.Sequential(nn.BatchNorm1d(3 * 16 * 16)).eval()
    with pytest.raises(ConfigError, match="batch_norm of a flattened map"):
        lowering.part(lambda n, x: n(x.flatten(1)), net=net)
