"""YOLOv3: boxes in cells, scores of the classes times objectness, the best of all levels."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmdet.models.dense_heads import YOLOV3Head
from mmdet.models.task_modules import YOLOBBoxCoder
from torch import Tensor

from lbwdet.deploy.lower.head import head
from lbwdet.deploy.lower.heads.yolox import LARGEST_RATIO
from lbwdet.deploy.lower.one_stage import OneStage
from lbwdet.deploy.lower.settings import Priors, TestConfig, check_exactly, read_anchors
from lbwdet.deploy.runtime.coders import DeltaCoder
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.errors import ConfigError

BOX = 4  # numbers of an anchor: its box's, its objectness, its classes'


@head("YOLOV3Head", ("YOLOV3", "SingleStageDetector"))
class YOLOv3(OneStage):
    """Scores, deltas and objectness of every level, of one map: apart, with the anchors in turn."""

    base = YOLOV3Head
    methods = ("predict", "predict_by_feat", "_bbox_post_process")
    has_factors = True

    def priors(self, head: Any) -> Priors:
        found = read_anchors("bbox_head.anchor_generator", head.prior_generator)
        if found.strides != tuple(head.featmap_strides):
            raise ConfigError(
                f"bbox_head.featmap_strides={list(head.featmap_strides)} cannot be lowered; give "
                f"those of the anchors, {list(found.strides)}"
            )
        return found

    def coder(self, head: Any) -> DeltaCoder:
        check_exactly("bbox_head.bbox_coder", head.bbox_coder, YOLOBBoxCoder)
        return DeltaCoder((0.0,) * 4, (1.0,) * 4, LARGEST_RATIO, clip=False, in_cell=True)

    def has_sigmoid(self, head: Any) -> bool:
        return True

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        found = replace(super().candidates(head, config), together=True)
        least = config.number("conf_thr", -1)
        if least <= 0:
            return found
        # Objectness at the threshold counts, too: above the float32 number before it.
        return replace(
            found, factor_threshold=float(np.nextafter(np.float32(least), np.float32(-1)))
        )

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        (levels,) = model.bbox_head(model.extract_feat(image))
        scores, deltas, factors = [], [], []
        for level in levels:
            channels = torch.arange(level.shape[1]).reshape(-1, model.bbox_head.num_attrib)
            scores.append(level.index_select(1, channels[:, BOX + 1 :].flatten()))
            deltas.append(level.index_select(1, channels[:, :BOX].flatten()))
            factors.append(level.index_select(1, channels[:, BOX]))
        return (*scores, *deltas, *factors)
