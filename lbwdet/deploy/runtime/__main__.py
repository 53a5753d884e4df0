"""``python -m lbwdet.deploy.runtime IMAGE MODEL``: what a detector sees in an image.

Needs numpy and Pillow (``pip install 'lbwdet[runtime]'``), no training framework.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime.detector import DetectionResult, Detector
from lbwdet.errors import DataError
from lbwdet.files import atomic_write, write_json
from lbwdet.images import FORMATS, read_image
from lbwdet.lettering import VARIABLE, font_for
from lbwdet.terminal import printable, run_command

Array = NDArray[Any]

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the detections, and draws them if asked.

    Returns:
        The exit code of :func:`lbwdet.terminal.run_command`.
    """
    return run_command(lambda: _detect(arguments))


def _detect(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lbwdet.deploy.runtime", description="Detect objects in an image."
    )
    parser.add_argument("image", help=", ".join(FORMATS))
    parser.add_argument("model", help="an artifact, model.lbw")
    parser.add_argument("--engine", default="native", help="native or reference [%(default)s]")
    parser.add_argument("--threads", type=int, help="CPU threads of the native engine [all]")
    parser.add_argument("--score-thr", type=float, default=0.3, help="[%(default)s]")
    parser.add_argument("--out", metavar="IMAGE", help="write the image with boxes and masks")
    parser.add_argument("--json", metavar="FILE", help="write boxes and masks (COCO's RLE)")
    options = parser.parse_args(arguments)
    detector = Detector(
        options.model,
        threads=options.threads,
        engine=options.engine,
        score_threshold=options.score_thr,
    )
    image = read_image(options.image)
    result = detector(image)
    for box, score, name in zip(result.boxes, result.scores, result.names, strict=True):
        sides = " ".join(f"{side:.1f}" for side in box)
        print(f"{printable(name)} {score:.3f}  {sides}")  # names are the artifact's
    if options.json:
        _write_json(result, options.json)
    if options.out:
        draw(image, result, options.out)


def _write_json(result: DetectionResult, path: str) -> None:
    try:
        write_json(Path(path), result.as_json())
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}") from error


def draw(image: Array, result: DetectionResult, path: str) -> None:
    """Writes the image with masks, boxes, names and scores.

    Raises:
        DataError: it cannot be written there, or not in the format of that name.
    """
    import PIL.Image  # is here: the image was read by it
    import PIL.ImageDraw

    canvas = PIL.Image.fromarray(_tinted(image, result)[..., ::-1].copy())
    pen = PIL.ImageDraw.Draw(canvas)
    width = max(1, max(canvas.size) // 400)
    names = [printable(name) for name in result.names]
    font = font_for(names)
    if font is None:
        print(
            f"no font here has the letters of {', '.join(dict.fromkeys(names))}: drawn by their "
            f"numbers; name a font by {VARIABLE}=FILE.ttf",
            file=sys.stderr,
        )
        names = [f"class {label}" for label in result.labels]
        font = font_for(names)
    # Worst first, so that the best lie on top.
    for index in reversed(range(len(result))):
        x1, x2 = _inside(result.boxes[index][[0, 2]], canvas.width)
        y1, y2 = _inside(result.boxes[index][[1, 3]], canvas.height)
        colour = _COLOURS[int(result.labels[index]) % len(_COLOURS)]
        pen.rectangle((x1, y1, x2, y2), outline=colour, width=width)
        text = f"{names[index]} {result.scores[index]:.2f}"
        corner = (x1, max(y1 - 12, 0))
        pen.rectangle(pen.textbbox(corner, text, font=font), fill=colour)
        pen.text(corner, text, fill="white", font=font)
    try:
        with atomic_write(path) as temporary:
            canvas.save(temporary)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be written: {error}") from error


def _tinted(image: Array, result: DetectionResult) -> Array:
    """A copy in which the pixels of each mask have something of their colour, the best on top."""
    canvas = image.copy()
    for mask, label in reversed([*zip(result.masks or (), result.labels, strict=False)]):
        inside, hexadecimal = mask.pixels(), _COLOURS[int(label) % len(_COLOURS)]
        blue_green_red = np.frombuffer(bytes.fromhex(hexadecimal[1:]), np.uint8)[::-1]
        canvas[inside] = image[inside] // 2 + blue_green_red // 2
    return canvas


def _inside(sides: Array, length: int) -> list[float]:
    """Two sides of a box in order and within reach of the image, whatever they are."""
    return sorted(np.clip(np.nan_to_num(sides), -1.0, float(length)).tolist())


if __name__ == "__main__":
    sys.exit(main())
