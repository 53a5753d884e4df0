import pytest
from torch.nn import functional as F

from lbwdet.deploy.runtime.operations.pad import Pad
from lbwdet.errors import ConfigError


def test_pixels_around_a_map(lowering):
    (pad,) = lowering.check(lambda n, x: F.pad(x, (1, 2, 0, 3), value=-0.5)).operations
    assert pad == Pad("input", pad.output, (0, 1), (3, 2), -0.5)
    (columns,) = lowering.check(lambda n, x: F.pad(x, (1, 0))).operations
    assert (columns.before, columns.after) == ((0, 1), (0, 0))
    assert lowering.check(lambda n, x: F.pad(x, (0, 0, 0, 0))).operations == ()


def test_a_mirrored_map(lowering):
    (pad,) = lowering.check(lambda n, x: F.pad(x, (2, 1, 0, 3), mode="reflect")).operations
    assert pad == Pad("input", pad.output, (0, 2), (3, 1), reflect=True)


@pytest.mark.parametrize(
    ("pads", "mode", "message"),
    [
        ((1, 1, 1, 1), "replicate", r"pad \(mode='replicate'\)"),
        ((1, -1), "constant", r"of \[1, -1, 0, 0\] to a tensor"),
        ((0, 0, 0, 0, 1, 1), "constant", r"of \[0, 0, 0, 0, 1, 1\] to a tensor"),
    ],
)
def test_other_pads(lowering, pads, mode, message):
    with pytest.raises(ConfigError, match=message):
        lowering.part(lambda n, x: F.pad(x, pads, mode))
