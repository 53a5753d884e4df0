"""Guided anchors (arXiv 1901.03278): where they are, and their sides, is predicted."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from mmdet.models.dense_heads import GARetinaHead
from mmdet.models.task_modules import DeltaXYWHBBoxCoder
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.settings import TestConfig, check_exactly, read_anchors, read_coder
from lbwdet.deploy.runtime.coders import DeltaCoder, TwiceCoder
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.mix import Mix
from lbwdet.errors import ConfigError

GUIDE_RATIO = 1e-6  # wh_ratio_clip of anchors
SIDES, NUMBERS = 2, 4  # of an anchor, and of a box
Maps = list[Tensor]
# The place of an anchor stays (two zeros), its sides come first, then the box's numbers.
JOINED = tuple(
    tuple(float(index == number) for index in range(SIDES + NUMBERS))
    for number in (-1, -1, *range(SIDES + NUMBERS))
)


def guided_maps(head: Any, features: Sequence[Tensor]) -> tuple[Maps, Maps, Maps]:
    """Scores of all levels; of each, sides of anchors and deltas; and where anchors are.

    As MMDetection's ``forward_single``, but everywhere: it leaves out, to save time, what is
    predicted where no anchor is.
    """
    levels = (_of_retina if isinstance(head, GARetinaHead) else _of_proposals)(head, features)
    scores, sides, deltas, places = zip(*levels, strict=True)
    pairs = [part for pair in zip(sides, deltas, strict=True) for part in pair]
    return list(scores), pairs, list(places)


def _of_retina(head: Any, features: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    found: list[tuple[Tensor, ...]] = []
    for of_class in features:
        of_box = of_class
        for layer in head.cls_convs:
            of_class = layer(of_class)
        for layer in head.reg_convs:
            of_box = layer(of_box)
        place, sides = head.conv_loc(of_class), head.conv_shape(of_box)
        score = head.retina_cls(head.feature_adaption_cls(of_class, sides))
        delta = head.retina_reg(head.feature_adaption_reg(of_box, sides))
        found.append((score, sides, delta, place))
    return found


def _of_proposals(head: Any, features: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    found: list[tuple[Tensor, ...]] = []
    for level in features:
        shared = head.rpn_conv(level).relu()
        place, sides = head.conv_loc(shared), head.conv_shape(shared)
        adapted = head.feature_adaption(shared, sides)
        found.append((head.conv_cls(adapted), sides, head.conv_reg(adapted), place))
    return found


class Guided:
    """The settings of a head with guided anchors.

    Args:
        name: of the head, for messages.
        head: that head.

    Attributes:
        priors: squares, whose sides are predicted.

    Raises:
        ConfigError: one that no operation stands for.
    """

    def __init__(self, name: str, head: Any) -> None:
        self.priors = read_anchors(f"{name}.square_anchor_generator", head.square_anchor_generator)
        if any(len(level) != 1 for level in self.priors.boxes):
            raise ConfigError(
                f"{name}.square_anchor_generator: several squares at a place cannot be lowered; "
                "give one scale and one ratio"
            )
        check_exactly(f"{name}.anchor_coder", head.anchor_coder, DeltaXYWHBBoxCoder)
        guide = read_coder(f"{name}.anchor_coder", head.anchor_coder)
        coder = read_coder(f"{name}.bbox_coder", head.bbox_coder)
        assert isinstance(guide, DeltaCoder)
        if not isinstance(coder, DeltaCoder):
            raise ConfigError(f"{name}.bbox_coder cannot be lowered; supported are deltas")
        self.coder = TwiceCoder(replace(guide, max_ratio=GUIDE_RATIO, clip=False), coder)
        # Anchors at the threshold count, too: those above the float32 number before it.
        least = np.nextafter(np.float32(head.loc_filter_thr), np.float32(-1))
        self._least = float(least) if head.loc_filter_thr > 0 else -1.0

    def candidates(self, candidates: Candidates) -> Candidates:
        """With boxes of guided anchors, and those anchors alone."""
        return replace(candidates, coder=self.coder, unweighted=True, factor_threshold=self._least)

    def add_to(
        self, program: Building, maps: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Adds what joins the predictions of a box; ``maps``: those of :func:`guided_maps` behind
        the scores.

        Returns:
            Names of what candidates read as deltas and as factors.
        """
        levels, joined = len(maps) // 3, []
        for level in range(levels):
            sides, deltas = maps[2 * level : 2 * level + 2]
            joined.append(f"{deltas}.guided")
            program.add(Mix((sides, deltas), joined[-1], JOINED, (0.0,) * len(JOINED)))
        return tuple(joined), tuple(maps[2 * levels :])

    @staticmethod
    def check(config: TestConfig, most: int) -> None:
        """Of proposals; raises ConfigError if fewer are kept of a level than of all levels."""
        of_level = config.positive("nms_post")
        if of_level < most or config.settings.get("nms_across_levels", False):
            raise ConfigError(
                f"{config.name}: nms_post={of_level} below max_per_img={most}, or "
                "nms_across_levels=True, cannot be lowered with guided anchors"
            )
