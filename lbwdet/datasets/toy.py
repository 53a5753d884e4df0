"""A small detection data set that is drawn instead of downloaded.

Written in the PASCAL VOC layout, with masks beside it as COCO has them. The same
parameters give the same bytes, as long as numpy and OpenCV do not change their
generators and encoders: each image has a random generator of its own, seeded by
(seed, split, index).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lbwdet.datasets.toy_drawing import CLASSES, ToyObject, draw_image
from lbwdet.datasets.toy_masks import FOLDER as MASKS
from lbwdet.datasets.toy_masks import write_masks
from lbwdet.errors import ConfigError, DataError
from lbwdet.files import atomic_folder, write_json

MANIFEST = "toy.json"  # in the root; its presence says that the data set is complete
FORMAT = 1  # raised whenever the same parameters come to mean other images
SMALLEST_SIDE = 96
JPEG_QUALITY = 92
IMAGES = "VOC2007"

Progress = Callable[[Sequence[tuple[str, int]]], Iterable[tuple[str, int]]]
Objects = dict[str, list[list[ToyObject]]]  # of each image of each split


def make_toy_dataset(
    root: str | Path,
    seed: int = 0,
    num_trainval: int = 500,
    num_test: int = 150,
    size: tuple[int, int] = (192, 160),
    progress: Progress = iter,
) -> dict[str, Any]:
    """Writes ``root/VOC2007`` and ``root/annotations``, or checks and reuses what is there.

    A data set from before there were masks gets them, and is left as it is otherwise.

    Args:
        root: Data root; the folder appears under this name only when complete.
        seed: Seed of the whole data set.
        num_trainval: Images in ``ImageSets/Main/trainval.txt``.
        num_test: Images in ``ImageSets/Main/test.txt``.
        size: Width and height of every image.
        progress: Wraps the sequence of images to come, e.g. ``tqdm``.

    Returns:
        The manifest: ``parameters``, ``classes``, ``boxes`` (split -> class ->
        count), ``digest`` and ``masks`` (SHA-256 over the names and bytes of all files of
        either folder).

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
    parameters: dict[str, Any] = dict(
        format=FORMAT, seed=seed, num_trainval=num_trainval, num_test=num_test, size=list(size)
    )
    existing = _existing(root, parameters)
    if existing is not None:
        return existing if "masks" in existing else _add_masks(root, existing, progress)

    with atomic_folder(root) as scratch:
        objects = _write_images(scratch / IMAGES, parameters, progress)
        write_masks(scratch, objects, parameters["size"])
        manifest = dict(
            parameters=parameters,
            classes=list(CLASSES),
            boxes=_counts(objects),
            digest=_digest(scratch, IMAGES),
            masks=_digest(scratch, MASKS),
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
        made_with, _ = manifest["parameters"], manifest["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{root} exists and is not a toy data set (no usable {MANIFEST} in it); {advice}"
        ) from error
    if made_with != parameters:
        raise DataError(
            f"{root} holds a toy data set made with {made_with}, "
            f"asked for is {parameters}; {advice}"
        )
    found = {"digest": _digest(root, IMAGES), "masks": _digest(root, MASKS)}
    if any(manifest.get(key, now) != now for key, now in found.items()):
        raise DataError(f"{root}: files of this toy data set were changed or are missing; {advice}")
    return manifest


def _add_masks(root: Path, manifest: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Draws everything once more, for the masks alone."""
    objects: Objects = {}
    for split, _, _, found in _drawn(manifest["parameters"], progress):
        objects.setdefault(split, []).append(found)
    write_masks(root, objects, manifest["parameters"]["size"])
    manifest = dict(manifest, masks=_digest(root, MASKS))
    write_json(root / MANIFEST, manifest)
    return manifest


def _drawn(
    parameters: Mapping[str, Any], progress: Progress
) -> Iterator[tuple[str, int, NDArray[np.uint8], list[ToyObject]]]:
    """Split, index, picture and objects of every image."""
    size = tuple(parameters["size"])
    counts = {"trainval": parameters["num_trainval"], "test": parameters["num_test"]}
    jobs = [(split, index) for split, count in counts.items() for index in range(count)]
    for split, index in progress(jobs):
        rng = np.random.default_rng([parameters["seed"], list(counts).index(split), index])
        yield split, index, *draw_image(rng, size)


def _write_images(folder: Path, parameters: dict[str, Any], progress: Progress) -> Objects:
    """Draws everything below ``folder``; returns what there is to see."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    size = tuple(parameters["size"])
    objects: Objects = {}
    for split, index, image, found in _drawn(parameters, progress):
        stem = f"{split}_{index:05d}"
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / "JPEGImages" / f"{stem}.jpg").write_bytes(encoded.tobytes())
        (folder / "Annotations" / f"{stem}.xml").write_text(
            _annotation(f"{stem}.jpg", size, found), encoding="utf-8"
        )
        objects.setdefault(split, []).append(found)
    for split, images in objects.items():
        lines = "".join(f"{split}_{index:05d}\n" for index in range(len(images)))
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(lines, encoding="utf-8")
    return objects


def _counts(objects: Objects) -> dict[str, dict[str, int]]:
    """The boxes per split and class."""
    names = {
        split: [one.name for found in images for one in found] for split, images in objects.items()
    }
    return {split: {name: found.count(name) for name in CLASSES} for split, found in names.items()}


def _annotation(filename: str, size: tuple[int, ...], objects: list[ToyObject]) -> str:
    lines = [
        "<annotation>",
        f"  <filename>{filename}</filename>",
        f"  <size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>",
    ]
    for name, (x1, y1, x2, y2), truncated, _ in objects:
        lines += [
            f"  <object><name>{name}</name><truncated>{truncated:d}</truncated>"
            "<difficult>0</difficult>",
            f"    <bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _digest(root: Path, folder: str) -> str:
    """SHA-256 over names and contents of all files below ``root/folder``, in name order."""
    total = hashlib.sha256()
    for path in sorted((root / folder).rglob("*")):
        if path.is_file():
            total.update(path.relative_to(root).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
