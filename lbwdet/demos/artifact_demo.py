"""What a deployed detector sees in an image, a folder, a video or a camera."""

from pathlib import Path
from typing import Any

from lbwdet.demos.image_demo import draw_images
from lbwdet.demos.video_demo import draw_video, is_video
from lbwdet.measuring.artifact_candidate import ArtifactCandidate


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
    """Detects objects with an artifact, draws and saves them.

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
    if is_video(source):
        return draw_video(candidate, source, out_dir, score_thr, max_frames)
    return draw_images(candidate, source, out_dir, score_thr)
