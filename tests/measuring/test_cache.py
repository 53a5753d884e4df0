from types import SimpleNamespace

import numpy as np
import pytest

from lbwdet.measuring.cache import Cache
from lbwdet.measuring.candidates import Detections
from lbwdet.measuring.speed import Latency

CANDIDATE = SimpleNamespace(digest="model")


class Images(list):
    files_digest, classes = "images", tuple("abcdefghi")


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
    assert cache.detections(CANDIDATE, Images(counts)) is None
    cache.keep_detections(CANDIDATE, Images(counts), kept)
    back = cache.detections(CANDIDATE, Images(counts))
    assert len(back) == len(kept)
    for one, other in zip(back, kept, strict=True):
        for field in ("boxes", "scores", "labels"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
            assert getattr(one, field).dtype == getattr(other, field).dtype


def test_another_model_or_test_set_has_its_own_entry(tmp_path):
    cache = Cache(tmp_path)
    cache.keep_detections(CANDIDATE, Images([1]), found(1))
    assert cache.detections(SimpleNamespace(digest="other"), Images([1])) is None
    other = Images([1])
    other.files_digest = "other"
    assert cache.detections(CANDIDATE, other) is None
    assert cache.detections(CANDIDATE, Images([1, 2])) is None


def test_damaged_entries_count_as_absent(tmp_path):
    cache = Cache(tmp_path)
    cache.keep_detections(CANDIDATE, Images([3]), found(3))
    cache.keep_latency("key", {})
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:40])
    (tmp_path / "x").touch()
    assert cache.detections(CANDIDATE, Images([3])) is None
    for path in tmp_path.glob("latency*"):
        for text in ("[1", "[1]", '{"a": {"median": "x"}}', '{"a": 1}', "{" * 100_000):
            path.write_text(text)
            assert cache.latency("key") is None


def test_every_flipped_byte_is_noticed_or_does_not_matter(tmp_path):
    cache, kept = Cache(tmp_path), found(3)
    cache.keep_detections(CANDIDATE, Images([3]), kept)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    absent = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
        back = cache.detections(CANDIDATE, Images([3]))
        absent += back is None
        assert back is None or np.array_equal(back[0].boxes, kept[0].boxes)
    assert absent > 300


def test_latency_comes_back(tmp_path):
    cache, kept = Cache(tmp_path), {"a": Latency(2.0, 1.0, 3.0, [1.0, 2.0, 3.0])}
    assert cache.latency("key") is None
    cache.keep_latency("key", kept)
    assert cache.latency("key") == kept
    assert cache.latency("other") is None
