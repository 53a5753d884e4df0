"""R-FCN: score maps of the whole image, then nothing but votes for each region."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdet.registry import MODELS
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import Head, head
from lbwdet.deploy.lower.settings import check_type
from lbwdet.deploy.lower.two_stage import DETECTORS, PROPOSALS, TwoStage, proposal_maps
from lbwdet.deploy.runtime.operations.ps_roi_align import PSRoIAlign
from lbwdet.errors import ConfigError

SCORES, DELTAS = "roi_scores", "roi_deltas"


@head("RFCNRoIHead", DETECTORS)
class RFCN(Head):
    """``dense``: the score maps of classes and boxes, then the proposal head's maps."""

    def __init__(self, model: Any) -> None:
        roi_head, extractor = model.roi_head, model.roi_head.bbox_roi_extractor
        # By their registered names: a model has none of them that was not registered.
        for name, module, kind, methods in (
            ("roi_head", roi_head, "RFCNRoIHead", ("forward", "predict_bbox", "_bbox_forward")),
            ("roi_head.bbox_roi_extractor", extractor, "PSRoIExtractor", ("forward", "_pool")),
            (
                "roi_head.bbox_head",
                roi_head.bbox_head,
                "RFCNHead",
                ("forward", "_predict_by_feat_single"),
            ),
        ):
            check_type(name, module, MODELS.module_dict[kind], *methods)
        for part in ("mask_head", "shared_head"):
            if getattr(roi_head, part, None) is not None:
                raise ConfigError(
                    f"roi_head.{part} cannot be lowered; supported are detectors of boxes without"
                )
        base = MODELS.module_dict["RFCNRoIHead"]
        self._two_stage = TwoStage(model, base, "roi_head.bbox_head", roi_head.bbox_head)
        if extractor.pooling != "align":
            raise ConfigError(
                f"roi_head.bbox_roi_extractor: pooling={extractor.pooling!r} cannot be lowered; "
                "supported is pooling='align'"
            )
        self._align = PSRoIAlign(
            input="",
            boxes=PROPOSALS,
            output="",
            stride=int(extractor.featmap_stride),
            size=int(extractor.grid_size),
            sampling_ratio=max(int(extractor.sampling_ratio), 0),
        )

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        features = model.extract_feat(image)
        proposals = proposal_maps(model.rpn_head, features)
        return (*model.roi_head.bbox_head.score_maps(features[-1]), *proposals)

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        self._two_stage.add_proposals(program, maps[2:])
        for source, output in zip(maps, (SCORES, DELTAS), strict=False):
            program.add(replace(self._align, input=source, output=output))
        self._two_stage.add_detections(program, SCORES, DELTAS)
