from types import SimpleNamespace

import numpy as np
import pytest

from lbwdet.measuring.cache import Cache
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.speed import Latency

CANDIDATE = SimpleNamespace(digest="model")
TEST_SET = SimpleNamespace(digest="images")


def found(*counts):
    generator = np.random.default_rng(0)
    return [
        Detections(
            generator.random((count, 4), np.float32),
            generator.random(count, np.float32),
            generator.integers(0, 9, count),
        )
        for count in counts
    ]


@pytest.mark.parametrize("counts", [(3, 0, 2), (0,), (0, 0), (5,)])
def test_detections_come_back(tmp_path, counts):
    cache, kept = Cache(tmp_path), found(*counts)
    assert cache.detections(CANDIDATE, TEST_SET) is None
    cache.keep_detections(CANDIDATE, TEST_SET, kept)
    back = cache.detections(CANDIDATE, TEST_SET)
    assert len(back) == len(kept)
    for one, other in zip(back, kept, strict=True):
        for field in ("boxes", "scores", "labels"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
            assert getattr(one, field).dtype == getattr(other, field).dtype


def test_another_model_or_test_set_has_its_own_entry(tmp_path):
    cache = Cache(tmp_path)
    cache.keep_detections(CANDIDATE, TEST_SET, found(1))
    assert cache.detections(SimpleNamespace(digest="other"), TEST_SET) is None
    assert cache.detections(CANDIDATE, SimpleNamespace(digest="other")) is None


def test_damaged_entries_count_as_absent(tmp_path):
    cache = Cache(tmp_path)
    cache.keep_detections(CANDIDATE, TEST_SET, found(3))
    cache.keep_latency("key", {})
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:40])
    (tmp_path / "x").touch()
    assert cache.detections(CANDIDATE, TEST_SET) is None
    for path in tmp_path.glob("latency*"):
        path.write_text("[1")
    assert cache.latency("key") is None


def test_latency_comes_back(tmp_path):
    cache, kept = Cache(tmp_path), {"a": Latency(2.0, 1.0, 3.0, [1.0, 2.0, 3.0])}
    assert cache.latency("key") is None
    cache.keep_latency("key", kept)
    assert cache.latency("key") == kept
    assert cache.latency("other") is None
