"""A small detection data set that is drawn instead of downloaded.

Written in the PASCAL VOC layout. The same parameters give the same bytes, as
long as numpy and OpenCV do not change their generators and encoders: each
image has a random generator of its own, seeded by (seed, split, index).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lbwdet.datasets.toy_drawing import CLASSES, ToyObject, draw_image
from lbwdet.errors import ConfigError, DataError
from lbwdet.files import atomic_folder, write_json

MANIFEST = "toy.json"  # in the root; its presence says that the data set is complete
FORMAT = 1  # raised whenever the same parameters come to mean other images
SMALLEST_SIDE = 96
JPEG_QUALITY = 92

Progress = Callable[[Sequence[tuple[str, int]]], Iterable[tuple[str, int]]]


def make_toy_dataset(
    root: str | Path,
    seed: int = 0,
    num_trainval: int = 500,
    num_test: int = 150,
    size: tuple[int, int] = (192, 160),
    progress: Progress = iter,
) -> dict[str, Any]:
    """Writes ``root/VOC2007``, or checks and reuses the one that is there.

    Args:
        root: Data root; the folder appears under this name only when complete.
        seed: Seed of the whole data set.
        num_trainval: Images in ``ImageSets/Main/trainval.txt``.
        num_test: Images in ``ImageSets/Main/test.txt``.
        size: Width and height of every image.
        progress: Wraps the sequence of images to come, e.g. ``tqdm``.

    Returns:
        The manifest: ``parameters``, ``classes``, ``boxes`` (split -> class ->
        count) and ``digest`` (SHA-256 over the names and bytes of all files).

    Raises:
        ConfigError: A count below 1 or a side below 96 pixels.
        DataError: ``root`` holds something else: other files, a toy set made
            with other parameters, or one that was changed afterwards.
    """
    root = Path(root)
    if min(num_trainval, num_test) < 1 or min(size) < SMALLEST_SIDE or seed < 0:
        raise ConfigError(
            f"toy data: got seed={seed}, num_trainval={num_trainval}, num_test={num_test}, "
            f"size={size[0]}x{size[1]}; allowed are a seed of at least 0, at least 1 image "
            f"in each split and sides of at least {SMALLEST_SIDE} pixels"
        )
    parameters = dict(
        format=FORMAT, seed=seed, num_trainval=num_trainval, num_test=num_test, size=list(size)
    )
    existing = _existing(root, parameters)
    if existing is not None:
        return existing

    with atomic_folder(root) as scratch:
        boxes = _write_images(scratch / "VOC2007", parameters, progress)
        manifest = dict(
            parameters=parameters, classes=list(CLASSES), boxes=boxes, digest=_digest(scratch)
        )
        write_json(scratch / MANIFEST, manifest)
        try:
            scratch.rename(root)
        except OSError:
            # Another process may have been quicker; its data set serves as well.
            existing = _existing(root, parameters)
            if existing is None:
                raise
            return existing
    return manifest


def summary(manifest: Mapping[str, Any]) -> str:
    """Images and boxes of each split, a line each."""
    lines = []
    for split, counts in manifest["boxes"].items():
        images = manifest["parameters"][f"num_{split}"]
        per_class = ", ".join(f"{name} {count}" for name, count in counts.items())
        lines.append(f"{split}: {images} images, {sum(counts.values())} boxes ({per_class})")
    return "\n".join(lines)


def _existing(root: Path, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of the data set at ``root``, None where there is nothing yet."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    advice = "remove it or choose another --root"
    try:
        manifest: dict[str, Any] = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        made_with, digest = manifest["parameters"], manifest["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{root} exists and is not a toy data set (no usable {MANIFEST} in it); {advice}"
        ) from error
    if made_with != parameters:
        raise DataError(
            f"{root} holds a toy data set made with {made_with}, "
            f"asked for is {parameters}; {advice}"
        )
    if digest != _digest(root):
        raise DataError(f"{root}: files of this toy data set were changed or are missing; {advice}")
    return manifest


def _write_images(
    folder: Path, parameters: dict[str, Any], progress: Progress
) -> dict[str, dict[str, int]]:
    """Draws everything below ``folder``; returns the boxes per split and class."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    size = tuple(parameters["size"])
    counts = {"trainval": parameters["num_trainval"], "test": parameters["num_test"]}
    boxes = {split: dict.fromkeys(CLASSES, 0) for split in counts}
    jobs = [(split, index) for split, count in counts.items() for index in range(count)]
    for split, index in progress(jobs):
        rng = np.random.default_rng([parameters["seed"], list(counts).index(split), index])
        image, objects = draw_image(rng, size)
        stem = f"{split}_{index:05d}"
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / "JPEGImages" / f"{stem}.jpg").write_bytes(encoded.tobytes())
        (folder / "Annotations" / f"{stem}.xml").write_text(
            _annotation(f"{stem}.jpg", size, objects), encoding="utf-8"
        )
        for item in objects:
            boxes[split][item.name] += 1
    for split, count in counts.items():
        lines = "".join(f"{split}_{index:05d}\n" for index in range(count))
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(lines, encoding="utf-8")
    return boxes


def _annotation(filename: str, size: tuple[int, ...], objects: list[ToyObject]) -> str:
    lines = [
        "<annotation>",
        f"  <filename>{filename}</filename>",
        f"  <size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>",
    ]
    for name, (x1, y1, x2, y2), truncated in objects:
        lines += [
            f"  <object><name>{name}</name><truncated>{truncated:d}</truncated>"
            "<difficult>0</difficult>",
            f"    <bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _digest(root: Path) -> str:
    """SHA-256 over names and contents of all files below ``root/VOC2007``, in name order."""
    total = hashlib.sha256()
    for path in sorted((root / "VOC2007").rglob("*")):
        if path.is_file():
            total.update(path.relative_to(root).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
