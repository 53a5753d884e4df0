"""Detections drawn on what the user chooses, by a detector of MMDetection or a deployed one."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lbwdet.configs import load_config
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.demos.drawing import Drawer
from lbwdet.demos.video_demo import draw_video, is_source
from lbwdet.errors import ConfigError, DataError
from lbwdet.files import write_bytes, write_json
from lbwdet.images import find_images, read_image
from lbwdet.measuring.artifact_candidate import ArtifactCandidate
from lbwdet.measuring.candidates import Candidate, TorchCandidate
from lbwdet.measuring.detectors import test_dataset
from lbwdet.progress import Progress
from lbwdet.terminal import printable

JPEG_SIDE = 65_500  # pixels; no encoder writes longer ones


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
        ``failed`` the files that could not be used, with the reason.

    Raises:
        ConfigError: ``out_dir`` is the images' own folder.
        DataError: no image is there, or none could be used; ``detections.json`` says why.
    """
    cfg = load_config(config, cfg_options)
    candidate = TorchCandidate("demo", cfg, checkpoint, config=str(config), device=device)
    load = ImageLoader.of(test_dataset(cfg)["pipeline"])
    return draw_images(candidate, images, out_dir, score_thr, load)


def artifact_demo(
    source: str | Path,
    artifact: str | Path,
    out_dir: str | Path,
    *,
    score_thr: float = 0.3,
    max_frames: int | None = None,
    engine: str = "native",
    threads: int | None = None,
) -> dict[str, Any]:
    """What a deployed detector sees in an image, a folder, a video or a camera: draws and saves it.

    Args:
        source: an image, a folder of images, a video file or a camera's index.
        artifact: ``model.lbw``.
        out_dir: gets the drawings and ``detections.json``.
        score_thr: boxes below this score are left out.
        max_frames: as :func:`lbwdet.demos.video_demo.draw_video` takes it.
        engine: ``'native'`` or ``'reference'``.
        threads: CPU threads of the native engine; all by default.

    Returns:
        What was written to ``detections.json``.

    Raises:
        LBWError: with a message for the user.
    """
    candidate = ArtifactCandidate("demo", artifact, engine, threads)
    if is_source(source):
        return draw_video(candidate, source, out_dir, score_thr, max_frames)
    return draw_images(candidate, source, out_dir, score_thr)


def draw_images(
    candidate: Candidate,
    images: str | Path,
    out_dir: str | Path,
    score_thr: float,
    load: Callable[[Path], np.ndarray] = read_image,
) -> dict[str, Any]:
    """As :func:`image_demo`, for any candidate, with images as ``load`` reads them."""
    paths = find_images(images)
    out_dir = Path(out_dir)
    if out_dir.resolve() == paths[0].parent.resolve():
        raise ConfigError(f"--out-dir {out_dir}: the images themselves are there; name another")
    names = picture_names(paths)
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    drawer = Drawer(candidate, score_thr)
    try:
        with Progress("detect", total=len(paths)) as progress:
            for path in paths:
                progress.step()
                try:
                    drawn, objects = drawer(load(path))
                except DataError as error:
                    reason = str(error)
                    failed[path.name] = reason if str(path) in reason else f"{path}: {reason}"
                    continue
                _write_picture(out_dir / names[path], drawn)
                found[path.name] = objects
    finally:  # whatever ended it: what was found is kept
        result = drawer.report(images=found, failed=failed)
        if found or failed:
            write_json(out_dir / "detections.json", result)
    if not found:
        reasons = "\n  ".join(printable(reason) for reason in failed.values())
        raise DataError(f"{images}: none of {len(paths)} images could be used:\n  {reasons}")
    return result


def picture_names(paths: Sequence[Path]) -> dict[Path, str]:
    """What the drawn images are called: ``a.jpg`` for ``a.png``, unless two would be called so.

    >>> list(picture_names([Path("a.png"), Path("b.jpg"), Path("b.png")]).values())
    ['a.jpg', 'b.jpg.jpg', 'b.png.jpg']
    """
    stems = Counter(path.stem for path in paths)
    return {path: f"{path.stem if stems[path.stem] == 1 else path.name}.jpg" for path in paths}


def _write_picture(path: Path, image: np.ndarray) -> None:
    if max(image.shape) > JPEG_SIDE:
        path = path.with_suffix(".png")
    # Not cv2.imwrite: it says nothing about a full disk.
    _, encoded = cv2.imencode(path.suffix, image)
    write_bytes(path, encoded.tobytes())
