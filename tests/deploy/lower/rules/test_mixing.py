from lbwdet.deploy.lower.mixing import Mixing
from lbwdet.deploy.runtime.operations.mix import Mix


def test_sums_of_channels_are_one_operation(lowering):
    rows = [[0.5, 0.0, -1.0, 2.0], [0.0, 1.0, 0.25, 0.0]]
    mixing = Mixing(rows, [1.0, -2.0], exponential=[0, 3])
    part = lowering.check(lambda net, x: mixing(net.b(net.stem(x))))
    last = part.operations[-1]
    assert isinstance(last, Mix) and len(part.operations) == 3
    assert last.factors == tuple(map(tuple, rows))
    assert (last.bias, last.exponential) == ((1.0, -2.0), (0, 3))
