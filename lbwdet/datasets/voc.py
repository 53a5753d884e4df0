"""VOC data sets as they are found: with slips in them, counted and said."""

import copy
import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mmdet.datasets import VOCDataset, XMLDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from lbwdet.datasets.classes import read_names
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.datasets.voc_files import (
    Annotation,
    find_image,
    read_annotation,
    read_ids,
    some,
)
from lbwdet.errors import ConfigError, DataError, first_line
from lbwdet.images import SUFFIXES, read_header
from lbwdet.terminal import printable

BAD_IMAGES = ("skip", "stop")


@dataclass
class AnnotationReport:
    """What was found wrong while loading; each list has one text per case."""

    images: int = 0
    boxes: Counter[str] = field(default_factory=Counter)  # per class, without the ignored ones
    unknown_classes: Counter[str] = field(default_factory=Counter)
    degenerate: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)
    wrong_size: list[str] = field(default_factory=list)
    bad_images: list[str] = field(default_factory=list)
    empty_classes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """One line for each kind of slip that occurred."""
        unknown = [f"{name} x{count}" for name, count in self.unknown_classes.most_common()]
        slips = {
            "images that cannot be used, left out": self.bad_images,
            "images of another size than their annotation says, the real size is used": (
                self.wrong_size
            ),
            "boxes without area, ignored": self.degenerate,
            "boxes outside their image, ignored": self.outside,
            "boxes that reach over their image's border, clipped": self.clipped,
            "class names that metainfo does not have, their objects are dropped": unknown,
            "classes of metainfo without a box": self.empty_classes,
        }
        return [
            printable(f"{len(cases)} {what}: {some(cases)}")  # names out of files of any origin
            for what, cases in slips.items()
            if cases
        ]


@DATASETS.register_module()
class LBWVOCDataset(XMLDataset):
    """MMDetection's ``VOCDataset`` that survives, counts and reports what is wrong.

    For sound data it gives what ``VOCDataset`` gives. Beyond that:

    * A box without area would turn the regression target log(width) into -inf
      and the loss into NaN; it becomes an ignored instance, as does a box
      outside its image. A box that reaches over the border is clipped.
    * Objects of a class that ``metainfo`` does not name are dropped.
    * An image that is missing, empty, of no kind that is read, truncated or too large is left
      out, or stops the loading; so does one so long or thin that the pipeline fails on it.
      In training, so does one that turns out later not to decode; in testing, all are decoded
      once beforehand (some milliseconds each), since a test loop cannot go on without one.
    * Where annotation and image disagree about the size, the image is right:
      it is what the pipeline reads, turned as EXIF says or not.
    * Image files may have any of the suffixes of :mod:`lbwdet.images`.

    All of it is counted in ``annotation_report`` and logged once. An annotation
    file that cannot be understood is always a ``DataError``.

    ``metainfo`` has no ``dataset_type``: with it, ``VOCMetric`` would print the
    names of VOC's 20 classes whatever ours are. The numbers are the same.

    Args:
        bad_images: ``'skip'`` leaves them out, in training and in testing, and names them;
            ``'stop'`` raises a ``DataError`` that names them.
        **kwargs: As for ``XMLDataset``. Files are local: no ``backend_args``.

    Raises:
        ConfigError: An unknown ``bad_images``, ``backend_args``, a ``bbox_min_size`` in testing,
            or ``classes`` that are no names.
        DataError: Files that are missing or unusable, by name.
    """

    METAINFO = VOCDataset.METAINFO

    def __init__(self, bad_images: str = "skip", **kwargs: Any) -> None:
        if bad_images not in BAD_IMAGES:
            raise ConfigError(
                f"LBWVOCDataset: bad_images={bad_images!r}; choose one of {', '.join(BAD_IMAGES)}"
            )
        if kwargs.get("backend_args") is not None:
            raise ConfigError(
                "LBWVOCDataset reads local files; for backend_args use MMDetection's VOCDataset"
            )
        self.bad_images = bad_images
        super().__init__(**kwargs)

    @classmethod
    def _load_metainfo(cls, metainfo: Any = None) -> dict[str, Any]:
        """MMEngine only warns of a text that is no file, and takes its letters for classes."""
        classes = (metainfo or {}).get("classes", cls.METAINFO["classes"])
        names = read_names(classes, cls.__name__)
        loaded: dict[str, Any] = super()._load_metainfo({**(metainfo or {}), "classes": names})
        return loaded

    def load_data_list(self) -> list[dict[str, Any]]:
        if self.test_mode and self.bbox_min_size is not None:
            raise ConfigError(
                "LBWVOCDataset: filter_cfg=dict(bbox_min_size=...) is for training; "
                "in testing it would change what the metric measures"
            )
        classes = self._metainfo["classes"]
        self.cat2label = {name: label for label, name in enumerate(classes)}
        self.annotation_report = report = AnnotationReport()
        parsed = [self.parse_data_info(dict(img_id=id_)) for id_ in read_ids(self.ann_file)]
        data_list = [info for info in parsed if info is not None]

        report.images = len(data_list)
        report.empty_classes = [name for name in classes if not report.boxes[name]]
        if report.bad_images and self.bad_images == "stop":
            raise DataError(
                f"{self.ann_file}: {len(report.bad_images)} of {len(parsed)} images cannot be "
                f"used: {some(report.bad_images)}. Restore them, or set bad_images='skip' "
                "in the data set's config to go on without them"
            )
        if lines := report.lines():
            found = f"{report.images} images, {report.boxes.total()} boxes"
            _warn("\n  ".join([f"{self.ann_file}: {found}", *lines]))
        return data_list

    def parse_data_info(self, img_info: dict[str, Any]) -> dict[str, Any] | None:
        """One image's entry of the data list, from its ``img_id``; None if it cannot be used."""
        img_id = img_info["img_id"]
        xml_path = os.path.join(self.sub_data_root, self.ann_subdir, f"{img_id}.xml")
        annotation = read_annotation(xml_path)
        folder = os.path.join(self.sub_data_root, self.img_subdir)
        img_path = find_image(folder, img_id)
        try:
            if img_path is None:
                raise DataError(
                    f"{os.path.join(folder, img_id)}: no such image "
                    f"(looked for {', '.join(SUFFIXES)})"
                )
            header = read_header(img_path)
        except DataError as error:
            self.annotation_report.bad_images.append(str(error))
            return None
        width, height = header.size(self._loader is None or self._loader.upright)
        if annotation.size not in (None, (width, height)):
            self.annotation_report.wrong_size.append(
                f"{img_id} {width}x{height}, said {annotation.size[0]}x{annotation.size[1]}"
            )
        info = dict(
            img_path=img_path,
            img_id=img_id,
            xml_path=xml_path,
            height=height,
            width=width,
            instances=self._instances(annotation, img_id, width, height),
        )
        # What may fail is tried now: a test loop cannot go on without an image.
        try:
            if header.unusual:
                self.pipeline(copy.deepcopy(info) | dict(sample_idx=0))
            elif self.test_mode and self._loader is not None:
                self._loader(img_path)
        except Exception as error:  # decoders and transforms raise whatever they like
            where = f"{img_path}: {width} x {height} pixels"
            self.annotation_report.bad_images.append(f"{where}: {first_line(error)}")
            return None
        return info

    def _instances(
        self, annotation: Annotation, img_id: str, width: int, height: int
    ) -> list[dict[str, Any]]:
        """The objects of known classes, their boxes counted from 0 and inside the image."""
        report = self.annotation_report
        instances = []
        for name, box, difficult in annotation.objects:
            if name not in self.cat2label:
                report.unknown_classes[name] += 1
                continue
            bbox = [coordinate - 1 for coordinate in box]
            last = (width - 1, height - 1) * 2
            inside = [min(max(value, 0), limit) for value, limit in zip(bbox, last, strict=True)]
            case = f"{img_id} {name} {bbox}"
            if not _has_area(bbox):
                report.degenerate.append(case)
            elif not _has_area(inside):
                report.outside.append(case)
            elif bbox != inside:
                report.clipped.append(case)
            ignored = difficult or not _has_area(inside) or self._is_small(bbox)
            report.boxes[name] += not ignored
            instances.append(
                dict(bbox=inside, bbox_label=self.cat2label[name], ignore_flag=int(ignored))
            )
        return instances

    def _is_small(self, bbox: list[int]) -> bool:
        """Whether ``filter_cfg=dict(bbox_min_size=...)`` makes this an ignored box."""
        if self.bbox_min_size is None:
            return False
        return bool(min(bbox[2] - bbox[0], bbox[3] - bbox[1]) < self.bbox_min_size)

    def filter_data(self) -> list[dict[str, Any]]:
        data_list: list[dict[str, Any]] = super().filter_data()
        if not data_list:
            raise DataError(
                f"{self.ann_file}: none of its images is left to use "
                f"(filter_cfg={self.filter_cfg}). {'; '.join(self.annotation_report.lines())}"
            )
        return data_list

    def prepare_data(self, idx: int) -> Any:
        """The pipeline's result; None, for which training takes another image, if skipped."""
        try:
            return super().prepare_data(idx)
        except Exception as error:
            path = self.get_data_info(idx)["img_path"]
            if self._is_sound(path):
                raise  # another step of the pipeline failed
            if self.bad_images == "skip" and not self.test_mode:
                _warn(f"{printable(path)}: cannot be used; another image is taken in its place")
                return None
            raise DataError(
                f"{path}: cannot be decoded; restore it or take it out of {self.ann_file}"
            ) from error

    @property
    def _loader(self) -> ImageLoader | None:
        """How the pipeline reads images; None where it reads none."""
        steps = self.pipeline.transforms
        return ImageLoader(steps[0]) if steps else None

    def _is_sound(self, path: str) -> bool:
        try:
            if self._loader is not None:
                self._loader(path)
            return not read_header(path).unusual
        except DataError:
            return False


def _has_area(bbox: list[int]) -> bool:
    return bbox[2] > bbox[0] and bbox[3] > bbox[1]


def _warn(message: str) -> None:
    print_log(message, logger="current", level=logging.WARNING)
