from lbwdet.deploy.lower.quantizing import quantize_predictions
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.mix import Mix
from lbwdet.deploy.runtime.operations.quantize import Quantize
from lbwdet.deploy.runtime.operations.resize import Resize


def conv(source, output):
    return Conv(output, source, output, (1, 1))


def mix(source, output):
    return Mix((source,), output, ((1.0,),), (0.0,))


def test_a_prediction_that_is_read_as_a_feature_map():
    found = quantize_predictions(
        [conv("x", "y"), mix("y", "z"), conv("y", "a"), Add(("y", "a"), "b")]
    )
    assert found == [
        conv("x", "y"),
        mix("y", "z"),
        Quantize("y", "y@integers"),
        conv("y@integers", "a"),
        Add(("y@integers", "a"), "b"),
    ]


def test_what_is_written_in_float32_alone():
    found = quantize_predictions([conv("x", "y"), mix("y", "z"), conv("z", "a")])
    assert found[2:] == [Quantize("z", "z@integers"), conv("z@integers", "a")]


def test_nothing_changes_where_all_read_integers_or_the_size_alone():
    operations = [
        conv("x", "y"),
        conv("y", "z"),
        mix("z", "a"),
        Resize("y", "b", like="z"),
        # a sum is written in integers alone: who reads it as float32 is told so later
        Add(("y", "b"), "c"),
        mix("c", "d"),
        conv("c", "e"),
    ]
    assert quantize_predictions(operations) == operations
