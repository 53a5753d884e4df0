import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import group_norm, layer_norm

from lbwdet.deploy.runtime.operations.affine import Affine
from lbwdet.deploy.runtime.operations.group_norm import GroupNorm
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


@pytest.mark.parametrize("affine", [False, True])
def test_group_norm(lowering, affine):
    gain, bias = (torch.tensor([0.5, -1.0, 2.0]), torch.ones(3)) if affine else (None, None)
    part = lowering.check(lambda n, x: group_norm(x, 3, gain, bias, 1e-3).relu())
    assert part.operations == (
        GroupNorm(
            "input",
            part.outputs[0].removeprefix(":"),
            3,
            (0.5, -1.0, 2.0) if affine else (1.0,) * 3,
            (1.0,) * 3 if affine else (0.0,) * 3,
            1e-3,
            relu=True,
        ),
    )


def test_layer_norm_of_a_pixel_is_one_group(lowering):
    sample = torch.randn(2, 3, 1, 1)
    (norm,) = lowering.check(lambda n, x: layer_norm(x, (3, 1, 1)), sample).operations
    assert isinstance(norm, GroupNorm) and norm.groups == 1


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: layer_norm(x, (3, 16, 16)), r"layer_norm over \[3, 16, 16\] of a tensor"),
        (lambda x: layer_norm(x, (16,)), r"layer_norm over \[16\]"),
        (lambda x: group_norm(x.flatten(1), 3), r"group_norm of a tensor of shape \[2, 768\]"),
    ],
)
def test_norms_over_other_numbers(lowering, compute, message):
    with pytest.raises(ConfigError, match=message):
        lowering.part(lambda n, x: compute(x))
