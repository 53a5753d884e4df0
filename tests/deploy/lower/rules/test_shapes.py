import pytest
from torch.nn import functional as F

from lbwdet.errors import ConfigError


def test_what_keeps_the_numbers(lowering):
    def compute(n, x):
        y = F.dropout(n.stem(x).contiguous().clone().float(), training=False)
        return n.fc(y.view(2, -1).detach().reshape(2, 256)).view(2, 5)

    part = lowering.check(compute)
    assert [operation.written for operation in part.operations] == ["stem", "fc"]


def test_functions_between_a_map_and_the_layer_that_covers_it(lowering):
    part = lowering.check(lambda n, x: n.fc(F.silu(n.stem(x).flatten(1))))
    assert part.operations[-1].kernel == (8, 8)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: x.reshape(2, 3, 8, 32), r"view from \[2, 3, 16, 16\] to \[2, 3, 8, 32\]"),
        (lambda x: x.view(2, 3, 2, 8, 16).sum(2), r"view from \[2, 3, 16, 16\]"),
        (lambda x: x.flatten(2), r"result of shape \[2, 3, 256\] is neither a map nor tokens"),
        (lambda x: x.flatten(1, 2), r"result of shape \[2, 48, 16\] is neither a map nor tokens"),
        (lambda x: F.dropout(x), "dropout in training mode"),
    ],
)
def test_what_moves_them_is_named(lowering, compute, message):
    with pytest.raises(ConfigError, match=message.replace("view", "(view|reshape)")):
        lowering.part(lambda n, x: compute(x))
