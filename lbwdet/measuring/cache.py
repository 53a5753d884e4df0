"""Finished detections and timings on disk, so that a second run need not repeat them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.files import atomic_write, write_json
from lbwdet.measuring.accuracy import detect_all
from lbwdet.measuring.candidates import Candidate, Detections
from lbwdet.measuring.speed import Latency
from lbwdet.measuring.testset import TestSet

ARRAYS = ("boxes", "scores", "labels")  # of detections


class Cache:
    """Keyed by digests of what a result depends on; an unreadable entry counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def detect_all(
        self, candidate: Candidate, test_set: TestSet, left_out: dict[int, str] | None = None
    ) -> list[Detections]:
        """As :func:`~lbwdet.measuring.accuracy.detect_all`, or what that has found before."""
        kept = self.detections(candidate, test_set)
        if kept is not None:
            return kept
        failed: dict[int, str] | None = None if left_out is None else {}
        found = detect_all(candidate, test_set, False, failed)
        if failed:
            left_out.update(failed)  # type: ignore[union-attr]
        else:
            self.keep_detections(candidate, test_set, found)
        return found

    def detections(self, candidate: Candidate, test_set: TestSet) -> list[Detections] | None:
        """What ``candidate`` found earlier on exactly these test images, or None."""
        try:
            with np.load(self._detections_path(candidate, test_set)) as arrays:
                counts, *values = (arrays[key] for key in ("counts", *ARRAYS))
            if (counts < 0).any() or (len(counts), counts.sum()) != (len(test_set), len(values[0])):
                return None
            parts = (np.split(array, np.cumsum(counts)[:-1]) for array in values)
            found = [Detections(*image) for image in zip(*parts, strict=True)]
            for detections in found:
                detections.check("cache", len(test_set.classes))
        except Exception:  # of readers of archives, on any bytes
            return None
        return found

    def keep_detections(
        self, candidate: Candidate, test_set: TestSet, found: Sequence[Detections]
    ) -> None:
        counts = np.array([len(image.scores) for image in found], np.int64)
        arrays: dict[str, Any] = {
            key: np.concatenate([getattr(image, key) for image in found]) for key in ARRAYS
        }
        target = self._detections_path(candidate, test_set)
        with atomic_write(target) as path, path.open("wb") as file:
            np.savez_compressed(file, counts=counts, **arrays)

    def latency(self, key: str) -> dict[str, Latency] | None:
        """Earlier timings taken under exactly the conditions in ``key``, or None."""
        try:
            stored = json.loads(self._path("latency-{}.json", key).read_text(encoding="utf-8"))
            return {name: _latency(entry) for name, entry in stored.items()}
        except Exception:  # whatever stands in the file
            return None

    def keep_latency(self, key: str, latency: dict[str, Latency]) -> None:
        stored = {name: asdict(one) for name, one in latency.items()}
        write_json(self._path("latency-{}.json", key), stored)

    def _detections_path(self, candidate: Candidate, test_set: TestSet) -> Path:
        return self._path("detections-{}.npz", candidate.digest + test_set.files_digest)

    def _path(self, form: str, key: str) -> Path:
        return self.folder / form.format(hashlib.sha256(key.encode()).hexdigest()[:20])


def _latency(entry: Mapping[str, Any]) -> Latency:
    times = [float(value) for value in entry["milliseconds"]]
    median, p10, p90 = (float(entry[name]) for name in ("median", "p10", "p90"))
    return Latency(median, p10, p90, times)
