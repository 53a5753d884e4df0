import pytest

from lbwdet.deploy.calibration.storage import quantized_values
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.deploy.runtime.program import Program
from lbwdet.errors import ConfigError


def conv(source, output):
    return Conv(output, source, output, (1, 1))


VOTES = PSRoIAlign("maps", "boxes", "votes", 16, 3, 2)


def test_maps_are_integers_unless_somebody_needs_float32():
    program = Program((conv("x", "y"), conv("y", "maps"), VOTES), {})
    assert quantized_values(program) == ["y"]


def test_of_a_detector(tiny):
    program = tiny.lowered.program
    stored = quantized_values(program)
    predictors = [op.written for op in program.operations if op.written.endswith(("_cls", "_reg"))]
    assert predictors and not set(stored) & set(predictors)
    assert stored[0] == "input" and "roi_features" in stored and "proposals" not in stored


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (
            (conv("x", "maps"), VOTES, conv("maps", "z")),
            "maps cannot be stored: PSRoIAlign votes reads it in float32, and Conv z has it in int",
        ),
        (
            (conv("x", "y"), Add(("y", "y"), "maps"), VOTES),
            "maps cannot be stored: PSRoIAlign votes reads it in float32, and Add maps has it in",
        ),
    ],
)
def test_not_both(operations, message):
    with pytest.raises(ConfigError, match=message):
        quantized_values(Program(operations, {}))
