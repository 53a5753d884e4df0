"""Detections drawn on an image, and written as JSON."""

import time
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from lbwdet.images import viewable
from lbwdet.measuring.candidates import Candidate, Detections
from lbwdet.terminal import printable

# Distinguishable without colour vision (Okabe and Ito), in BGR.
COLOURS = (
    (0, 94, 213),
    (178, 114, 0),
    (115, 158, 0),
    (167, 121, 204),
    (0, 159, 230),
    (233, 180, 86),
    (66, 228, 240),
)
TINT = 0.5  # share of a mask's colour
FONT = cv2.FONT_HERSHEY_SIMPLEX
HAS_FONTS = int(cv2.__version__.partition(".")[0]) >= 5


class Drawer:
    """Detects in one image after the other, and draws what it finds.

    Args:
        candidate: what detects.
        score_thr: boxes below this score are left out.

    Attributes:
        seconds: of each detection.
    """

    def __init__(self, candidate: Candidate, score_thr: float) -> None:
        self.candidate = candidate
        self.score_thr = score_thr
        self.seconds: list[float] = []

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """A drawn [H, W, 3] uint8 BGR copy of an image; and label, score and box of each."""
        start = time.perf_counter()
        found = self.candidate.detect(image).above(self.score_thr)
        self.seconds.append(time.perf_counter() - start)
        found.check(self.candidate.config, len(self.candidate.classes))
        drawn = draw(viewable(image), found, self.candidate.classes)
        return drawn, as_json(found, self.candidate.classes)

    def report(self, **found: Any) -> dict[str, Any]:
        """What ``detections.json`` says: who detected, ``found``, and how fast."""
        return dict(
            config=self.candidate.config,
            checkpoint=self.candidate.checkpoint,
            engine=self.candidate.engine,
            **found,
            median_ms=1000 * float(np.median(self.seconds)) if self.seconds else None,
        )


def summary(report: Mapping[str, Any]) -> str:
    """The content of a ``detections.json`` in one line.

    >>> summary(dict(engine="native", median_ms=8, images={"a.jpg": [1, 2]}, failed={"b.jpg": ""}))
    '2 objects in 1 images, 1 left out, 8.0 ms each (median), 125.0 per second, engine native'
    """
    frames = report["frames"] if "frames" in report else report["images"].values()
    kind = "frames" if "frames" in report else "images"
    left_out = f"{len(report['failed'])} left out, " if report.get("failed") else ""
    return (
        f"{sum(map(len, frames))} objects in {len(frames)} {kind}, {left_out}"
        f"{report['median_ms']:.1f} ms each (median), {1000 / report['median_ms']:.1f} per second, "
        f"engine {report['engine']}"
    )


def draw(image: np.ndarray, detections: Detections, classes: tuple[str, ...]) -> np.ndarray:
    """A copy of the image with masks, boxes, class names and scores."""
    canvas = _tinted(image, detections)
    thickness = max(1, round(min(image.shape[:2]) / 300))
    size = 0.4 * max(1.0, min(image.shape[:2]) / 480)
    reach = (*canvas.shape[1::-1], *canvas.shape[1::-1])  # what lies outside is not drawn
    for box, score, label in detections:
        colour = COLOURS[label % len(COLOURS)]
        x1, y1, x2, y2 = np.clip(box, -1, reach).round().astype(int).tolist()
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness)
        text = f"{_letters(classes[label])} {score:.2f}"
        (width, height), below = cv2.getTextSize(text, FONT, size, 1)
        top = max(y1, height + below)
        cv2.rectangle(canvas, (x1, top - height - below), (x1 + width, top), colour, cv2.FILLED)
        place = (x1, top - below)
        cv2.putText(canvas, text, place, FONT, size, (255, 255, 255), 1, cv2.LINE_AA)
    return canvas


def _tinted(image: np.ndarray, detections: Detections) -> np.ndarray:
    """A copy in which the pixels of each mask have something of their colour, the best on top."""
    canvas = image.copy()
    labels = detections.labels.tolist()
    for mask, label in reversed([*zip(detections.masks or (), labels, strict=False)]):
        inside = mask.pixels()
        tint = np.array(COLOURS[label % len(COLOURS)]) * TINT
        canvas[inside] = (image[inside] * (1 - TINT) + tint).astype(np.uint8)
    return canvas


def _letters(name: str) -> str:
    """What OpenCV can draw of a name: before its release 5, it had no letters but ASCII's."""
    name = printable(name)
    return name if HAS_FONTS else name.encode("ascii", "backslashreplace").decode()


def as_json(detections: Detections, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Label, score, box, and, if there are masks, COCO's run-length encoding of each."""
    masks = detections.masks or (None,) * len(detections.scores)
    return [
        dict(
            label=classes[label],
            score=round(float(score), 4),
            box=[round(float(value), 2) for value in box],
            **({} if mask is None else dict(mask=mask.coco())),
        )
        for (box, score, label), mask in zip(detections, masks, strict=True)
    ]
