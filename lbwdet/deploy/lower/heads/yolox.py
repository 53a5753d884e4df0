"""YOLOX: boxes from points, of each the best class, its score times objectness."""

from dataclasses import replace
from typing import Any

import numpy as np
from mmdet.models.dense_heads import YOLOXHead

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, TestConfig, read_points
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.deploy.runtime.operations.candidates import Candidates

UNLIMITED = 100_000
LARGEST_RATIO = 1e6  # sides above it are those of a network that has diverged


@head("YOLOXHead", ("YOLOX", "SingleStageDetector"))
class YOLOX(OneStage):
    """Scores, deltas and objectness of every level."""

    base = YOLOXHead
    methods = ("predict", "predict_by_feat", "_bbox_decode", "_bbox_post_process")
    has_factors = True

    def priors(self, head: Any) -> Priors:
        """A box as large as the stride around each point."""
        points = read_points("bbox_head.prior_generator", head.prior_generator)
        return points.with_sides(points.strides)

    def coder(self, head: Any) -> DeltaCoder:
        return DeltaCoder((0.0,) * 4, (1.0,) * 4, LARGEST_RATIO, clip=False)

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        found = super().candidates(head, config)
        # Scores at the threshold count, too: those above the float32 number before it.
        threshold = np.nextafter(np.float32(found.score_threshold), np.float32(-1))
        return replace(found, score_threshold=float(threshold), factor_first=True, best_class=True)

    def pre_nms(self, config: TestConfig) -> int:
        return UNLIMITED

    def max_boxes(self, config: TestConfig) -> int:
        return UNLIMITED
