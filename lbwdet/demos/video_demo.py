"""Detections drawn on every frame of a video or a camera."""

import itertools
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lbwdet.demos.drawing import Drawer
from lbwdet.errors import ConfigError, DataError
from lbwdet.files import atomic_write, write_json
from lbwdet.measuring.candidates import Candidate
from lbwdet.progress import Progress
from lbwdet.videos import check_video, is_video

CAMERA_FRAMES = 300  # of a camera, unless told otherwise: it never ends by itself
CAMERA_RATE = 25.0


def is_source(source: str | Path) -> bool:
    """Whether this names a camera (a number) or a video file.

    >>> is_source("0"), is_source("a.MP4"), is_source("a.jpg")
    (True, True, False)
    """
    return str(source).isdigit() or is_video(source)


def draw_video(
    candidate: Candidate,
    source: str | Path,
    out_dir: str | Path,
    score_thr: float,
    max_frames: int | None = None,
) -> dict[str, Any]:
    """Detects objects in every frame, draws them, and writes a video.

    Args:
        candidate: what detects.
        source: a video file, or a camera's index.
        out_dir: gets ``<name>.mp4`` and ``detections.json``.
        score_thr: boxes below this score are left out.
        max_frames: stop after these; of a camera, 300 by default. Ctrl-C also ends it, and
            keeps what was drawn.

    Returns:
        What was written to ``detections.json``: the boxes of each frame, and the speed;
        under ``failed`` the frames in which nothing can be detected, and why.

    Raises:
        DataError: there is no such camera, the file is no video that OpenCV can read, no
            frame of it can be used, or the new video cannot be written whole.
    """
    camera = str(source).isdigit()
    if max_frames is not None and max_frames < 1:
        raise ConfigError(f"max_frames={max_frames}: give 1 or more")
    if not camera:
        check_video(source)
    opened: Any = int(str(source)) if camera else str(source)
    capture = cv2.VideoCapture(opened)
    try:
        reads = iter(capture.read, None)  # whether there was a frame, and this
        frames = (frame for _, frame in itertools.takewhile(operator.itemgetter(0), reads))
        first = next(frames, None)
        if first is None:
            what = f"camera {source}: there is none" if camera else f"{source}: no video to read"
            raise DataError(f"{what}; a source is an image, a folder, a video or a camera index")
        # Only to show how much is left: joined recordings have more than the first announces.
        announced = 0 if camera else max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        limit = max_frames or (CAMERA_FRAMES if camera else None)
        rate = capture.get(cv2.CAP_PROP_FPS)
        name = f"camera{source}.mp4" if camera else f"{Path(source).stem}.mp4"
        target = Path(out_dir) / name
        if not camera and target.resolve() == Path(source).resolve():
            raise ConfigError(f"--out-dir {out_dir}: the video itself is there; name another")
        drawer = Drawer(candidate, score_thr)
        found, failed = _write(
            drawer,
            itertools.islice(itertools.chain([first], frames), limit),
            target,
            rate if rate and np.isfinite(rate) and rate > 0 else CAMERA_RATE,
            limit or announced,
        )
    finally:
        capture.release()
    if limit is None and len(found) < announced:
        failed["the end"] = f"{source}: {len(found)} of {announced} announced frames can be read"
    result = drawer.report(video=target.name, frames=found, failed=failed)
    write_json(Path(out_dir) / "detections.json", result)
    if not drawer.seconds:
        raise DataError(f"{source}: no frame can be used: {next(iter(failed.values()))}")
    return result


def _write(
    drawer: Drawer,
    frames: Iterator[np.ndarray],
    target: Path,
    rate: float,
    total: int,
) -> tuple[list[Any], dict[str, str]]:
    found: list[Any] = []
    failed: dict[str, str] = {}
    with atomic_write(target) as path, Progress("detect", total=total) as progress:
        writer = None
        try:
            for frame in frames:
                try:
                    drawn, objects = drawer(frame)
                except DataError as error:
                    failed[f"frame {len(found)}"] = f"frame {len(found)}: {error}"
                    drawn, objects = frame, []
                found.append(objects)
                if writer is None:
                    writer, size = _writer(path, rate, frame), frame.shape[1::-1]
                if drawn.shape[1::-1] != size:  # which the writer would drop without a word
                    drawn = cv2.resize(drawn, size)
                writer.write(drawn)
                progress.step()
        except KeyboardInterrupt:
            if not found:
                raise
        finally:
            if writer is not None:
                writer.release()
        _check_written(path, target, len(found))
    return found, failed


def _check_written(path: Path, target: Path, count: int) -> None:
    """OpenCV says nothing about a full disk."""
    written = cv2.VideoCapture(str(path))
    frames = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
    written.release()
    if frames != count:
        raise DataError(
            f"{target}: {frames} of {count} frames could be written; is there room on the disk?"
        )


def _writer(path: Path, rate: float, frame: np.ndarray) -> Any:
    code = cv2.VideoWriter_fourcc(*"mp4v")  # type: ignore[attr-defined]
    writer = cv2.VideoWriter(str(path), code, rate, (frame.shape[1], frame.shape[0]))
    if not writer.isOpened():
        raise DataError(f"{path.parent}: OpenCV cannot write an mp4 video here")
    return writer
