"""SABL: each side of a box is in one of some buckets, and how surely is a factor of scores."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.models.dense_heads import SABLRetinaHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.one_stage import BoxMaps, OneStage
from lbwdet.deploy.lower.region_buckets import read_bucket_coder
from lbwdet.deploy.lower.settings import Priors, TestConfig, read_anchors
from lbwdet.deploy.runtime.coders import DistanceCoder
from lbwdet.deploy.runtime.operations.bucket_confidence import BucketConfidence
from lbwdet.deploy.runtime.operations.bucket_sides import BucketSides
from lbwdet.deploy.runtime.operations.candidates import Candidates


@head("SABLRetinaHead", ("RetinaNet", "SingleStageDetector"))
class SABL(OneStage):
    """Scores of all levels, then of each level scores of the buckets and offsets in them."""

    base = SABLRetinaHead

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._buckets = int(model.bbox_head.side_num)
        self._whole = int(model.bbox_head.bbox_coder.num_buckets)

    def priors(self, head: Any) -> Priors:
        return read_anchors("bbox_head.square_anchor_generator", head.square_anchor_generator)

    def coder(self, head: Any) -> DistanceCoder:
        """Buckets divide a box that is ``scale_factor`` times as large as the anchor."""
        return read_bucket_coder("bbox_head.bbox_coder", head.bbox_coder)

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        return replace(super().candidates(head, config), plain_factors=True)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        scores, predicted = model.bbox_head(model.extract_feat(image))
        return (*scores, *(maps for level in predicted for maps in level))

    def box_maps(self, program: Building, maps: Sequence[str]) -> BoxMaps:
        levels = len(maps) // 3
        sides, factors = [], []
        for level in range(levels):
            buckets, offsets = maps[levels + 2 * level : levels + 2 * level + 2]
            sides.append(f"detections.sides.{level}")
            factors.append(f"detections.confidence.{level}")
            program.add(
                BucketSides(buckets, offsets, sides[-1], self._buckets, self._whole),
                BucketConfidence(buckets, factors[-1], self._buckets),
            )
        return BoxMaps(tuple(maps[:levels]), tuple(sides), tuple(factors))
