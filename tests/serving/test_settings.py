import pytest

from lbwdet.deploy.runtime.native import available_threads
from lbwdet.errors import ConfigError
from lbwdet.serving.settings import ServingSettings


def test_cores_are_divided():
    assert ServingSettings().threads_of_each == available_threads()
    assert ServingSettings(workers=available_threads()).threads_of_each == 1
    assert ServingSettings(threads=1).threads_of_each == 1
    assert ServingSettings(workers=1, queue=3).places == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", 10_000),
        ("threads", 0),
        ("queue", -1),
        ("max_bytes", 1 << 40),
        ("max_pixels", 1 << 40),
        ("timeout", 0.0),
        ("timeout", float("nan")),
        ("score_thr", 1.5),
    ],
)
def test_what_is_out_of_range(name, value):
    with pytest.raises(ConfigError, match=rf"^{name}={value}: give "):
        ServingSettings(**{name: value})
