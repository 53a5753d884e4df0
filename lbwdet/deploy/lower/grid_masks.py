"""What SOLO and SOLOv2 have in common: a class and a mask for each cell of a grid, and no boxes."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from mmdet.models.dense_heads import SOLOHead
from torch import Tensor
from torch.nn import functional as F

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import Head
from lbwdet.deploy.lower.settings import TestConfig, check_type
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.matrix_suppress import MatrixSuppress
from lbwdet.deploy.runtime.operations.peaks import Peaks
from lbwdet.errors import ConfigError

CANDIDATES, KEPT = "detections.candidates", "detections.kept"
MOST_MASKS = 1000  # that are looked at: those of the best classes


def above(threshold: float) -> float:
    """The least float32 number above: what is at least this is above the threshold."""
    return float(np.nextafter(np.float32(threshold), np.float32(np.inf)))


class GridMasks(Head):
    """``dense`` returns what masks are made of, and then the classes' logits of all levels.

    MMDetection computes the mask of every cell and class above ``score_thr``, here those of the
    best 1,000 are. As in MMDetection all boxes are 0.

    Raises:
        ConfigError: masks are made or suppressed in another way.
    """

    base: ClassVar[type] = SOLOHead
    methods: ClassVar[tuple[str, ...]] = (
        "forward",
        "resize_feats",
        "predict_by_feat",
        "_predict_by_feat_single",
    )

    def __init__(self, model: Any) -> None:
        head = model.mask_head
        check_type("mask_head", head, self.base, *self.methods)
        config = TestConfig("test_cfg", head.test_cfg)
        if (kernel := head.test_cfg.get("kernel")) != "gaussian":
            raise ConfigError(f"test_cfg.kernel={kernel!r} cannot be lowered; give 'gaussian'")
        self.grids = tuple(int(grid) for grid in head.num_grids)
        threshold, least = config.number("mask_thr"), config.number("filter_thr", -1)
        levels, max_masks = len(self.grids), config.positive("nms_pre")
        self._candidates = Candidates(
            scores=(),
            deltas=(),
            output=CANDIDATES,
            strides=(1,) * levels,
            base_anchors=((((0.0,) * 4),),) * levels,
            coder=DistanceCoder(),
            num_classes=int(head.num_classes),
            activation="none",
            pre_nms=max(MOST_MASKS, max_masks),
            score_threshold=config.number("score_thr"),
            together=True,
            numbered=True,
        )
        self._suppress = MatrixSuppress(
            input=CANDIDATES,
            masks="",
            output=KEPT,
            counts=tuple(grid**2 for grid in self.grids),
            least_areas=tuple(float(stride) for stride in head.strides),
            mask_threshold=threshold,
            sigma=config.number("sigma"),
            max_masks=max_masks,
            score_threshold=least if least > 0 else -1.0,
            max_boxes=config.positive("max_per_img"),
        )
        self._detections = Detections(
            KEPT,
            self._candidates.num_classes,
            mask_threshold=above(threshold),
            mask_extent="bounds",
            mask_factor=self.mask_stride(head),
        )

    def mask_stride(self, head: Any) -> int:
        """Pixels of the network's input that one of a mask stands for."""
        return 4

    @abstractmethod
    def add_masks(
        self, program: Building, maps: Sequence[str], candidates: str, output: str
    ) -> None:
        """Adds the masks of some candidates: ``output``, float32 [n, h, w, 1].

        Args:
            program: has the dense part.
            maps: what ``dense`` returns, without the logits of classes.
            candidates: name of numbered candidates.
            output: name of their masks.
        """

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        levels = len(self.grids)
        peaks = [f"detections.peaks.{level}" for level in range(levels)]
        for logits, output in zip(maps[-levels:], peaks, strict=True):
            program.add(Peaks(logits, output, before=1, after=0))
        program.add(replace(self._candidates, scores=tuple(peaks)))
        self.add_masks(program, maps[:-levels], CANDIDATES, "masks.candidates")
        program.add(replace(self._suppress, masks="masks.candidates"))
        self.add_masks(program, maps[:-levels], KEPT, "masks")
        program.add(replace(self._detections, masks="masks"))


def resized_features(features: Sequence[Tensor]) -> list[Tensor]:
    """As ``SOLOHead.resize_feats``."""
    first, *middle, last = features
    half = F.interpolate(first, scale_factor=0.5, mode="bilinear")
    size = features[-2].shape[-2:]
    return [half, *middle, F.interpolate(last, size=size, mode="bilinear")]


def through(layers: Any, features: Tensor) -> Tensor:
    """One layer after the other."""
    for layer in layers:
        features = layer(features)
    return features


def cat(*maps: Tensor) -> Tensor:
    """Their channels, one after the other."""
    return torch.cat(maps, 1)
