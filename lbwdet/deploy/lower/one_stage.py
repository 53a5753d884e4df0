"""What the heads of detectors that find boxes at once have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from mmdet.models import FocalCustomLoss
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.head import Head
from lbwdet.deploy.lower.settings import Priors, TestConfig, check_type
from lbwdet.deploy.runtime.coders import Coder
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.candidates import Candidates
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.rescale import Rescale
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.errors import ConfigError

CANDIDATES, RESCALED, KEPT = (f"detections.{part}" for part in ("candidates", "rescaled", "kept"))


class BoxMaps(NamedTuple):
    """Names of maps, one for each level, or none."""

    scores: tuple[str, ...]
    deltas: tuple[str, ...]
    factors: tuple[str, ...] = ()


class OneStage(Head):
    """``dense``: the head's maps: scores of all levels, then deltas, then factors, if it has them.

    Raises:
        ConfigError: the head makes boxes in another way, or with other settings.
    """

    base: ClassVar[type] = BaseDenseHead
    methods: ClassVar[tuple[str, ...]] = (
        "predict",
        "predict_by_feat",
        "_predict_by_feat_single",
        "_bbox_post_process",
    )
    """What makes boxes of maps; a head that has another of these methods of ``base`` is refused."""

    has_factors: ClassVar[bool] = False
    """Whether scores are multiplied, in the end, by a factor of their place (centerness)."""

    def __init__(self, model: Any) -> None:
        head = model.bbox_head
        check_type("bbox_head", head, self.base, *self.methods)
        loss = getattr(head, "loss_cls", None)
        plain = type(loss) is FocalCustomLoss and head.use_sigmoid_cls  # V3Det's: a sigmoid
        if getattr(loss, "custom_cls_channels", False) and not plain:
            raise ConfigError(
                f"bbox_head: {type(loss).__name__} has scores of its own, which cannot be "
                "lowered; supported are sigmoid and softmax"
            )
        config = TestConfig("test_cfg", head.test_cfg)
        self._candidates = self.candidates(head, config)
        self._suppress = self.suppression(config)

    @abstractmethod
    def priors(self, head: Any) -> Priors:
        """What boxes are predicted from; raises ConfigError if no operation has it."""

    @abstractmethod
    def coder(self, head: Any) -> Coder:
        """How they are predicted; raises ConfigError if no operation has it."""

    def candidates(self, head: Any, config: TestConfig) -> Candidates:
        """The settings of the candidates; the names of maps come from the traced graph."""
        smallest = config.number("min_bbox_size", -1)
        if smallest > 0:  # of pixels of the original image
            raise ConfigError(f"test_cfg.min_bbox_size={smallest:g} cannot be lowered; give 0")
        priors = self.priors(head)
        return Candidates(
            scores=(),
            deltas=(),
            output=CANDIDATES,
            strides=priors.strides,
            base_anchors=priors.boxes,
            coder=self.coder(head),
            num_classes=int(head.num_classes),
            activation="sigmoid" if self.has_sigmoid(head) else "softmax",
            pre_nms=self.pre_nms(config),
            score_threshold=config.number("score_thr", 0),
            min_size=smallest,
        )

    def has_sigmoid(self, head: Any) -> bool:
        """Whether classes have scores of their own, or shares of one."""
        return bool(head.use_sigmoid_cls)

    def pre_nms(self, config: TestConfig) -> int:
        """Candidates of a level."""
        return config.positive("nms_pre")

    def max_boxes(self, config: TestConfig) -> int:
        """Detections of an image."""
        return config.positive("max_per_img")

    def suppression(self, config: TestConfig) -> Suppress:
        """Which candidates are left; raises ConfigError if no operation finds them."""
        return Suppress(RESCALED, KEPT, config.nms_threshold(), self.max_boxes(config), "class")

    def refined(self) -> Sequence[Operation]:
        """What is done to the candidates that are left; the last operation writes the result."""
        return ()

    def box_maps(self, program: Building, maps: Sequence[str]) -> BoxMaps:
        """What candidates read, of what ``dense`` returns."""
        levels = len(self._candidates.strides)
        factors = maps[2 * levels :] if self.has_factors else ()
        return BoxMaps(tuple(maps[:levels]), tuple(maps[levels : 2 * levels]), tuple(factors))

    def detections(self, program: Building, maps: Sequence[str], kept: str) -> Detections:
        """The program's last operation.

        Args:
            program: what it needs besides is added to it.
            maps: what ``dense`` returns.
            kept: name of the candidates that are left.
        """
        return Detections(kept, self._candidates.num_classes)

    @staticmethod
    def dense(model: Any, image: Tensor) -> tuple[Tensor, ...]:
        outputs = model.bbox_head(model.extract_feat(image))
        return tuple(level for kind in outputs for level in kind)

    def add_to(self, program: Building, maps: Sequence[str]) -> None:
        read, refined = self.box_maps(program, maps), self.refined()
        program.add(
            replace(
                self._candidates,
                scores=read.scores,
                deltas=read.deltas,
                factors=read.factors,
            ),
            Rescale(CANDIDATES, RESCALED),
            self._suppress,
            *refined,
        )
        kept = refined[-1].written if refined else KEPT
        program.add(self.detections(program, maps, kept))
