from collections import Counter
from itertools import pairwise

import cv2
import pytest
import torch

from lbwdet.errors import ConfigError
from lbwdet.measuring.speed import balanced_order, measure, pinned_threads, summarize


class FakeClock:
    """Time passes only while a callable runs."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self):
        return self.now

    def runner(self, name, seconds):
        def run(value):
            self.calls.append((name, value))
            self.now += seconds(len(self.calls)) if callable(seconds) else seconds

        return run


def test_models_take_turns_on_each_input():
    clock = FakeClock()
    runners = {name: clock.runner(name, 0.001) for name in "abc"}
    measure(runners, ["x", "y"], warmup=0, rounds=2, clock=clock)
    turns = [clock.calls[i : i + 3] for i in range(0, 12, 3)]
    assert ["".join(name for name, _ in turn) for turn in turns] == ["abc", "bca", "cab", "cba"]
    assert ["".join(value for _, value in turn) for turn in turns] == ["xxx", "yyy"] * 2


@pytest.mark.parametrize("count", range(1, 14))
def test_everyone_is_everywhere_and_follows_everyone_equally_often(count):
    orders = [balanced_order(count, turn) for turn in range(2 * count)]
    places = Counter(place for order in orders for place in enumerate(order))
    neighbours = Counter(pair for order in orders for pair in pairwise(order))
    assert len(places) == count**2 and set(places.values()) == {2}
    assert len(neighbours) == count * (count - 1)
    assert set(neighbours.values()) <= {2}


def test_each_model_gets_its_own_time_in_milliseconds():
    clock = FakeClock()
    runners = dict(fast=clock.runner("fast", 0.002), slow=clock.runner("slow", 0.008))
    latency = measure(runners, [1, 2, 3], warmup=1, rounds=4, clock=clock)
    assert latency["fast"].median == pytest.approx(2)
    assert latency["slow"].p90 == pytest.approx(8)
    assert [len(latency[name].milliseconds) for name in ("fast", "slow")] == [12, 12]


def test_warmup_runs_but_does_not_count():
    clock = FakeClock()
    cold = clock.runner("cold", lambda calls: 1.0 if calls <= 2 else 0.003)
    latency = measure({"cold": cold}, ["x", "y"], warmup=1, rounds=1, clock=clock)["cold"]
    assert len(clock.calls) == 4 and len(latency.milliseconds) == 2
    assert latency.p90 == pytest.approx(3)


def test_progress_counts_every_call():
    steps = []
    measure({"a": abs, "b": abs}, [1, 2], warmup=1, rounds=2, progress=lambda: steps.append(1))
    assert len(steps) == 2 * 2 * 3


def test_quantiles():
    latency = summarize(range(1, 12))
    assert (latency.p10, latency.median, latency.p90) == (2, 6, 10)
    assert summarize([5.0]).p90 == 5


@pytest.mark.parametrize(
    "arguments",
    [({}, [1], 1, 1), ({"a": abs}, [], 1, 1), ({"a": abs}, [1], 1, 0), ({"a": abs}, [1], -1, 1)],
)
def test_nothing_to_time_is_an_error(arguments):
    with pytest.raises(ConfigError, match="nothing to time"):
        measure(*arguments)


def test_threads_are_pinned_and_given_back():
    before = torch.get_num_threads(), cv2.getNumThreads()
    with pinned_threads(1):
        assert torch.get_num_threads() == 1 and cv2.getNumThreads() == 1
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
    with pytest.raises(ConfigError, match="threads=0: give at least 1"), pinned_threads(0):
        pass
