"""What the heads of detectors that find boxes at once have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import Head
from lbwdet.deploy.lower.settings import Priors, TestConfig, check_type
from lbwdet.deploy.runtime.coders import Coder
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.errors import ConfigError

CANDIDATES, RESCALED, KEPT = (f"detections.{part}" for part in ("candidates", "rescaled", "kept"))


class OneStage(Head):
    """``dense``: the head's maps: scores of all levels, then deltas, then factors, if it has them.

    Raises:
        ConfigError: the head makes boxes in another way, or with other settings.
    """

    has_factors: ClassVar[bool] = False
    """Whether scores are multiplied, in the end, by a factor of their place (centerness)."""

    def __init__(self, model: Any) -> None:
        head, name = model.bbox_head, "bbox_head"
        check_type(
            name,
            head,
            BaseDenseHead,
            "predict",
            "predict_by_feat",
            "_predict_by_feat_single",
            "_bbox_post_process",
        )
        if getattr(head.loss_cls, "custom_cls_channels", False):
            raise ConfigError(
                f"{name}: {type(head.loss_cls).__name__} has scores of its own, which cannot be "
                "lowered; supported are sigmoid and softmax"
            )
        config = TestConfig("test_cfg", head.test_cfg)
        smallest = config.number("min_bbox_size", -1)
        if smallest > 0:
            raise ConfigError(f"test_cfg.min_bbox_size={smallest:g} cannot be lowered; give 0")
        self._priors = self.priors(head)
        self._coder = self.coder(head)
        self._num_classes = int(head.num_classes)
        self._sigmoid = bool(head.use_sigmoid_cls)
        self._score_threshold = config.number("score_thr", 0)
        self._pre_nms = config.positive("nms_pre")
        self._min_size = smallest
        self._iou_threshold = config.nms_threshold()
        self._max_boxes = config.positive("max_per_img")

    @abstractmethod
    def priors(self, head: Any) -> Priors:
        """What boxes are predicted from; raises ConfigError if no operation has it."""

    @abstractmethod
    def coder(self, head: Any) -> Coder:
        """How they are predicted; raises ConfigError if no operation has it."""

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        outputs = model.bbox_head(model.extract_feat(image))
        return tuple(level for kind in outputs for level in kind)

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        levels = len(self._priors.strides)
        program.add(
            Candidates(
                scores=tuple(maps[:levels]),
                deltas=tuple(maps[levels : 2 * levels]),
                output=CANDIDATES,
                strides=self._priors.strides,
                base_anchors=self._priors.boxes,
                coder=self._coder,
                num_classes=self._num_classes,
                activation="sigmoid" if self._sigmoid else "softmax",
                pre_nms=self._pre_nms,
                score_threshold=self._score_threshold,
                min_size=self._min_size,
                factors=tuple(maps[2 * levels :]) if self.has_factors else (),
            ),
            Rescale(CANDIDATES, RESCALED),
            Suppress(RESCALED, KEPT, self._iou_threshold, self._max_boxes, "class"),
            Detections(KEPT, self._num_classes),
        )
