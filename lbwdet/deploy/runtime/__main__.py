"""``python -m lbwdet.deploy.runtime IMAGE MODEL``: what a detector sees in an image.

Needs numpy and Pillow (``pip install 'lbwdet[runtime]'``), no training framework.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.detector import DetectionResult, Detector
from lbwdet.errors import DataError, LBWError
from lbwdet.files import atomic_write

Array = NDArray[Any]

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the detections, and draws them if asked. Returns 0, or 2 after a message."""
    parser = argparse.ArgumentParser(
        prog="python -m lbwdet.deploy.runtime", description="Detect objects in an image."
    )
    parser.add_argument("image", help="any format that Pillow reads")
    parser.add_argument("model", help="an artifact, model.lbw")
    parser.add_argument("--engine", default="native", help="native or reference [%(default)s]")
    parser.add_argument("--threads", type=int, help="CPU threads of the native engine [all]")
    parser.add_argument("--score-thr", type=float, default=0.3, help="[%(default)s]")
    parser.add_argument("--out", metavar="IMAGE", help="write the image with its boxes")
    options = parser.parse_args(arguments)
    try:
        detector = Detector(
            options.model,
            threads=options.threads,
            engine=options.engine,
            score_threshold=options.score_thr,
        )
        image = read_image(options.image)
        result = detector(image)
        for box, score, name in zip(result.boxes, result.scores, result.names, strict=True):
            print(f"{name} {score:.3f}  " + " ".join(f"{side:.1f}" for side in box))
        if options.out:
            draw(image, result, options.out)
    except LBWError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def read_image(path: str) -> Array:
    """uint8 [H, W, 3], channels in the order blue, green, red, upright.

    Raises:
        DataError: the file is missing, or no image.
    """
    pillow = _pillow()
    try:
        with pillow.Image.open(path) as opened:
            upright = pillow.ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, ValueError, pillow.Image.DecompressionBombError) as error:
        raise DataError(f"{path}: no image that can be read: {error}") from error
    return np.ascontiguousarray(np.asarray(upright)[..., ::-1])


def draw(image: Array, result: DetectionResult, path: str) -> None:
    """Writes the image with boxes, names and scores.

    Raises:
        DataError: it cannot be written there, or not in the format of that name.
    """
    pillow = _pillow()
    canvas = pillow.Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
    pen = pillow.ImageDraw.Draw(canvas)
    width = max(1, max(canvas.size) // 400)
    # Worst first, so that the best lie on top.
    for index in reversed(range(len(result))):
        box = [float(side) for side in result.boxes[index]]
        colour = _COLOURS[int(result.labels[index]) % len(_COLOURS)]
        pen.rectangle(box, outline=colour, width=width)
        text = f"{result.names[index]} {result.scores[index]:.2f}"
        corner = (box[0], max(box[1] - 12, 0))
        pen.rectangle(pen.textbbox(corner, text), fill=colour)
        pen.text(corner, text, fill="white")
    try:
        with atomic_write(path) as temporary:
            canvas.save(temporary)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be written: {error}") from error


def _pillow() -> Any:
    try:
        import PIL
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageOps
    except ImportError as error:
        raise DataError(
            "reading images needs Pillow, which is not installed: pip install 'lbwdet[runtime]'"
        ) from error
    return PIL


if __name__ == "__main__":
    sys.exit(main())
