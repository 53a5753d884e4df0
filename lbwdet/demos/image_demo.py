"""Detections drawn on images of the user's choice."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lbwdet.configs import load_config
from lbwdet.datasets.voc_files import read_image_size
from lbwdet.errors import ConfigError, DataError
from lbwdet.files import atomic_write, write_json
from lbwdet.measuring.candidates import Candidate, Detections, TorchCandidate
from lbwdet.progress import Progress

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
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


def image_demo(
    images: str | Path,
    config: str | Path,
    checkpoint: str | Path,
    out_dir: str | Path = "work_dirs/drawn",
    score_thr: float = 0.3,
    device: str = "cpu",
    cfg_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Detects objects in an image or in every image of a folder, draws and saves them.

    Args:
        images: an image file, or a folder that is searched without subfolders.
        out_dir: gets one picture per image and ``detections.json``.
        score_thr: boxes below this score are left out.

    Returns:
        What was written to ``detections.json``: per image the boxes, and under
        ``failed`` the files that could not be read, with the reason.

    Raises:
        ConfigError: ``out_dir`` is the images' own folder.
        DataError: no image is there, or none could be read.
    """
    candidate = TorchCandidate(
        "demo", load_config(config, cfg_options), checkpoint, config=str(config), device=device
    )
    return draw_images(candidate, images, out_dir, score_thr)


def draw_images(
    candidate: Candidate, images: str | Path, out_dir: str | Path, score_thr: float
) -> dict[str, Any]:
    """As :func:`image_demo`, for any candidate."""
    paths = find_images(images)
    out_dir = Path(out_dir)
    if out_dir.resolve() == paths[0].parent.resolve():
        raise ConfigError(f"--out-dir {out_dir}: the images themselves are there; name another")
    names = picture_names(paths)
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    seconds: list[float] = []
    with Progress("detect", total=len(paths)) as progress:
        for path in paths:
            progress.step()
            try:
                image = read_image(path)
            except DataError as error:
                failed[path.name] = str(error)
                continue
            start = time.perf_counter()
            detections = above(candidate.detect(image), score_thr)
            seconds.append(time.perf_counter() - start)
            found[path.name] = as_json(detections, candidate)
            _write_jpeg(out_dir / names[path], draw(image, detections, candidate.classes))
    if not found:
        reasons = "\n  ".join(failed.values())
        raise DataError(f"{images}: none of {len(paths)} images could be read:\n  {reasons}")
    result = dict(
        config=candidate.config,
        checkpoint=candidate.checkpoint,
        engine=candidate.engine,
        images=found,
        failed=failed,
        median_ms=1000 * float(np.median(seconds)),
    )
    write_json(out_dir / "detections.json", result)
    return result


def find_images(source: str | Path) -> list[Path]:
    """The image itself, or the images of a folder in order of their names."""
    source = Path(source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(f"{source}: no such image or folder")
    paths = sorted(
        path for path in source.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not paths:
        raise DataError(f"{source}: no image in this folder (looked for {', '.join(SUFFIXES)})")
    return paths


def picture_names(paths: Sequence[Path]) -> dict[Path, str]:
    """What the drawn images are called: ``a.jpg`` for ``a.png``, unless two would be called so.

    >>> list(picture_names([Path("a.png"), Path("b.jpg"), Path("b.png")]).values())
    ['a.jpg', 'b.jpg.jpg', 'b.png.jpg']
    """
    stems = Counter(path.stem for path in paths)
    return {path: f"{path.stem if stems[path.stem] == 1 else path.name}.jpg" for path in paths}


def read_image(path: Path) -> np.ndarray:
    """[H, W, 3] uint8 in BGR order.

    Raises:
        DataError: the file is empty, truncated, no image, or of a kind that OpenCV cannot read.
    """
    read_image_size(path)  # OpenCV would take a truncated JPEG for a whole one
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path}: not an image that OpenCV can read")
    return image


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    # Not cv2.imwrite: it says nothing about a full disk.
    _, encoded = cv2.imencode(".jpg", image)
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def draw(image: np.ndarray, detections: Detections, classes: tuple[str, ...]) -> np.ndarray:
    """A copy of the image with boxes, class names and scores."""
    canvas = image.copy()
    thickness = max(1, round(min(image.shape[:2]) / 300))
    size = 0.4 * max(1.0, min(image.shape[:2]) / 480)
    for box, score, label in zip(
        detections.boxes, detections.scores, detections.labels, strict=True
    ):
        colour = COLOURS[label % len(COLOURS)]
        x1, y1, x2, y2 = (round(float(value)) for value in box)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness)
        text = f"{classes[label]} {score:.2f}"
        (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        top = max(y1, height + below)
        cv2.rectangle(canvas, (x1, top - height - below), (x1 + width, top), colour, cv2.FILLED)
        cv2.putText(
            canvas,
            text,
            (x1, top - below),
            cv2.FONT_HERSHEY_SIMPLEX,
            size,
            (255, 255, 255),
            1,
            cv2.LINE_AA,
        )
    return canvas


def above(detections: Detections, score_thr: float) -> Detections:
    kept = detections.scores >= score_thr
    return Detections(detections.boxes[kept], detections.scores[kept], detections.labels[kept])


def as_json(detections: Detections, candidate: Candidate) -> list[dict[str, Any]]:
    return [
        dict(
            label=candidate.classes[label],
            score=round(float(score), 4),
            box=[round(float(value), 2) for value in box],
        )
        for box, score, label in zip(
            detections.boxes, detections.scores, detections.labels, strict=True
        )
    ]
