"""The test images of a config, with their ground truth, in original pixels."""

import copy
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config
from pycocotools import mask as coco

from lbwdet.configs import class_name
from lbwdet.datasets import check_data
from lbwdet.datasets.classes import config_classes, dataset_classes
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.datasets.voc_files import some
from lbwdet.deploy.runtime.masks import Mask
from lbwdet.errors import ConfigError, DataError
from lbwdet.measuring.detectors import test_dataset
from lbwdet.training.build import register_scope


@dataclass(frozen=True)
class GroundTruth:
    """Annotated boxes of one image.

    Attributes:
        boxes: [N, 4] float32: x1, y1, x2, y2 in original pixels.
        labels: [N] int64: index into the class names.
        ignored: [N] bool: "difficult" objects and the like. They are neither
            asked for nor counted against who finds them.
        masks: the pixels of each, where all of them are annotated.
    """

    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray
    masks: tuple[Mask, ...] | None = None


@dataclass(frozen=True)
class TestImage:
    """One test image: ``name`` identifies it within the set, ``path`` is where it lies."""

    __test__ = False  # the name is not pytest's

    name: str
    path: Path
    truth: GroundTruth


@dataclass(frozen=True, eq=False)
class TestSet:
    """Test images and class names.

    Attributes:
        description: free of machine-specific paths.
        loader: reads an image as the config does.
        left_out: images that cannot be used, and why.
    """

    __test__ = False

    classes: tuple[str, ...]
    images: list[TestImage]
    description: str
    loader: ImageLoader
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def truths(self) -> list[GroundTruth]:
        """The ground truth of each image."""
        return [image.truth for image in self.images]

    def first(self, count: int | None) -> "TestSet":
        """Only the first images; all of them where ``count`` is None or there are fewer."""
        return replace(self, images=self.images[:count])

    def without(self, reasons: Mapping[int, str]) -> "TestSet":
        """The set without the images at these indices, each for a reason.

        Raises:
            DataError: none would be left.
        """
        images = [image for index, image in enumerate(self.images) if index not in reasons]
        left_out = (*self.left_out, *(reasons[index] for index in sorted(reasons)))
        if not images:
            raise DataError(f"{self.description}: no image can be used: {some(left_out)}")
        return replace(self, images=images, left_out=left_out)

    def spread(self, count: int) -> list[int]:
        """Indices of up to ``count`` images, evenly over all."""
        places = np.linspace(0, len(self) - 1, min(count, len(self)))
        return [int(place) for place in places]

    def check_classes(self, name: str, classes: Sequence[str]) -> None:
        """Raises ``ConfigError`` unless the model of this name detects the set's classes."""
        if tuple(classes) != self.classes:
            raise ConfigError(
                f"{name} detects the classes {list(classes)}, "
                f"but the test set has {list(self.classes)}"
            )

    def load(self, index: int) -> np.ndarray:
        """The image as the config's pipeline loads it: [H, W, 3] uint8 in BGR order, usually.

        Raises:
            DataError: The file is missing, truncated or no image.
        """
        return self.loader(self.images[index].path)

    @cached_property
    def digest(self) -> str:
        """Hex digest of classes, image names and ground truth; equal sets have equal digests."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for image in self.images:
            digest.update(repr(image.name).encode())
            for array in (image.truth.boxes, image.truth.labels, image.truth.ignored):
                digest.update(repr(array.tolist()).encode())
        return digest.hexdigest()

    @cached_property
    def files_digest(self) -> str:
        """Also of the images' files: where they are, how large, and when they were written."""
        digest = hashlib.sha256(self.digest.encode())
        for image in self.images:
            path = Path(image.path)
            found = path.stat() if path.is_file() else None
            state = found and (found.st_size, found.st_mtime_ns)
            digest.update(repr((os.path.abspath(path), state)).encode())
        return digest.hexdigest()

    def difference(self, other: "TestSet") -> str | None:
        """What makes ``other`` a different test, in words; None if nothing does."""
        if self.classes != other.classes:
            return f"classes {some(self.classes)} against {some(other.classes)}"
        names = [image.name for image in self.images]
        other_names = [image.name for image in other.images]
        if names != other_names:
            only = sorted(set(names) ^ set(other_names))
            what = f"not in both: {some(only)}" if only else "the same images in another order"
            return f"{len(names)} images against {len(other_names)} ({what})"
        if self.digest != other.digest:
            return "the same images with other ground truth"
        if self.loader.settings != other.loader.settings:
            return f"images loaded with {self.loader.settings} against {other.loader.settings}"
        return None


def load_test_set(cfg: Config, num_images: int | None = None) -> TestSet:
    """The (first ``num_images``) images of ``cfg.test_dataloader``.

    Raises:
        ConfigError: The config has no ``test_dataloader``.
        DataError: The data is not there or holds no image.
    """
    dataset = split_dataset(cfg, "test")
    count = len(dataset) if num_images is None else min(num_images, len(dataset))
    if count < 1:
        raise DataError(f"{cfg.filename}: no test image to look at (num_images={num_images})")
    infos = [dataset.get_data_info(index) for index in range(count)]
    images = [
        TestImage(str(info["img_id"]), Path(info["img_path"]), _truth(info)) for info in infos
    ]
    report = getattr(dataset, "annotation_report", None)  # of LBWVOCDataset
    return TestSet(
        config_classes(cfg, ("test",)) or tuple(dataset.metainfo["classes"]),
        images,
        _describe(cfg.test_dataloader.dataset),
        ImageLoader.of(test_dataset(cfg)["pipeline"]),
        tuple(report.bad_images) if report else (),
    )


def split_dataset(cfg: Config, split: str) -> Any:
    """The ``'train'``, ``'val'`` or ``'test'`` data set of ``cfg``, with its annotations read.

    Raises:
        ConfigError: there is none; or its class names are none, or differ between its parts.
        DataError: its files are not there.
    """
    if not cfg.get(f"{split}_dataloader"):
        raise ConfigError(f"{cfg.filename}: no '{split}_dataloader' in this config")
    settings = cfg[f"{split}_dataloader"].dataset
    register_scope(cfg)
    check_data(cfg, (split,))
    dataset_classes(settings, str(cfg.filename))
    try:
        dataset = DATASETS.build(copy.deepcopy(settings))
        dataset.full_init()
    except OSError as error:
        raise DataError(f"{cfg.filename}: data not found: {error}") from error
    return dataset


def _truth(info: Mapping[str, Any]) -> GroundTruth:
    instances = info["instances"]
    masks = [_mask(entry["mask"], info) for entry in instances if "mask" in entry]
    return GroundTruth(
        boxes=np.array([entry["bbox"] for entry in instances], np.float32).reshape(-1, 4),
        labels=np.array([entry["bbox_label"] for entry in instances], np.int64),
        ignored=np.array([entry["ignore_flag"] for entry in instances], bool),
        masks=tuple(masks) if instances and len(masks) == len(instances) else None,
    )


def _mask(annotated: Any, info: Mapping[str, Any]) -> Mask:
    """Of polygons, or of runs in either of COCO's forms."""
    size = info["height"], info["width"]
    if isinstance(annotated, list) or isinstance(annotated["counts"], list):
        annotated = coco.frPyObjects(annotated, *size)
    runs = coco.merge(annotated) if isinstance(annotated, list) else annotated
    return Mask.of(coco.decode(runs).astype(bool))


def _describe(dataset: dict[str, Any]) -> str:
    parts = (Path(str(dataset.get("data_root", ""))).name, str(dataset.get("ann_file", "")))
    return " ".join(part for part in parts if part) or class_name(dataset["type"])
