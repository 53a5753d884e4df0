import pytest

from lbwdet.benchmark.settings import BenchmarkSettings
from lbwdet.errors import ConfigError
from lbwdet.measuring.environment import available_cpus


def test_images_are_the_configs_where_there_is_one():
    assert BenchmarkSettings().source == "noise"
    assert BenchmarkSettings(config="a.py").source == "test"
    assert BenchmarkSettings(config="a.py", images="folder").source == "folder"


def test_all_threads_by_default():
    assert BenchmarkSettings().num_threads == available_cpus()
    assert BenchmarkSettings(threads=1).num_threads == 1


def test_only_the_peers_int8_is_calibrated():
    assert not BenchmarkSettings().calibrates
    assert BenchmarkSettings(["native", "openvino"]).calibrates


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(against=["native", "warp"]), "unknown engine warp; choose from torch"),
        (dict(threads=0), "threads=0: give 1 to"),
        (dict(threads=9999), "threads=9999: give 1 to"),
        (dict(images="test"), "--float CONFIG:CHECKPOINT, or give --images FOLDER"),
        (dict(accuracy=True), "--float CONFIG:CHECKPOINT"),
        (dict(against=["openvino"], calibrate="train"), "calibrate: name the float detector"),
    ],
)
def test_mistakes(settings, message):
    with pytest.raises(ConfigError, match=message):
        BenchmarkSettings(**settings)
