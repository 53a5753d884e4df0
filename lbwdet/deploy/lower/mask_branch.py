"""The masks of detectors whose regions have another network for them."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmdet.models import FCNMaskHead
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.cutting import Align, Cut, cut, read_align, sample_of
from lbwdet.deploy.lower.settings import TestConfig, check_type
from lbwdet.deploy.runtime.operations.masks import Masks
from lbwdet.deploy.runtime.operations.mean import Mean
from lbwdet.deploy.runtime.operations.regions import Regions
from lbwdet.errors import ConfigError

MASKS = "masks"


@dataclass(frozen=True)
class Stage:
    """One mask head.

    Attributes:
        name: what follows "masks" in the names of its values.
        network: from the model and features of regions, and what else it is given, to logits.
        align: how its regions are cut.
        sample: features to trace it with.
    """

    name: str
    network: Callable[..., tuple[Tensor]]
    align: Align
    sample: Tensor


class MaskBranch:
    """A mask head, or those of a cascade, which predict the same masks: their mean counts.

    Args:
        model: the detector.
        base: the class of region heads that do with mask heads what is done here.
        cut: adds the features of regions.

    Attributes:
        threshold: the least probability of a mask's pixels.

    Raises:
        ConfigError: a part or a setting that no operation stands for.
    """

    def __init__(self, model: Any, base: type, cut: Cut = cut) -> None:
        roi_head = model.roi_head
        check_type("roi_head", roi_head, base, "predict_mask", "_mask_forward")
        self.threshold = TestConfig("test_cfg.rcnn", roi_head.test_cfg).number("mask_thr_binary")
        if self.threshold < 0:
            raise ConfigError(
                f"test_cfg.rcnn.mask_thr_binary={self.threshold:g} cannot be lowered; give 0 to 1"
            )
        self._cut = cut
        self._stages = self.stages(roi_head)

    @classmethod
    def of(cls, model: Any, base: type, cut: Cut = cut) -> "MaskBranch | None":
        """That of a detector, if it has masks."""
        if getattr(model.roi_head, "mask_head", None) is None:
            return None
        with _hint():
            return cls(model, base, cut)

    def stages(self, roi_head: Any) -> list[Stage]:
        """The mask heads."""
        if not hasattr(roi_head.mask_head, "__len__"):
            network = functools.partial(_network, None)
            return [read_stage("", roi_head.mask_head, roi_head.mask_roi_extractor, network)]
        pairs = zip(roi_head.mask_head, roi_head.mask_roi_extractor, strict=True)
        return [
            read_stage(f".{index}", head, extractor, functools.partial(_network, index))
            for index, (head, extractor) in enumerate(pairs)
        ]

    def add_to(self, program: Building, candidates: str, levels: Sequence[str]) -> tuple[str, str]:
        """Adds the masks of candidates.

        Args:
            program: has the candidates, in the network's pixels.
            candidates: their name.
            levels: maps that regions are cut from.

        Returns:
            Names of the masks, and of the candidates, with scores that know of them.
        """
        regions = f"{MASKS}.regions"
        program.add(Regions(candidates, regions))
        for stage in self._stages:
            with _hint():
                scores = self.add_scores(program, stage, regions, levels)
            program.add(Masks(scores, candidates, f"{MASKS}{stage.name}"))
        every = tuple(f"{MASKS}{stage.name}" for stage in self._stages)
        if len(every) == 1:
            return every[0], candidates
        program.add(Mean(every, MASKS))
        return MASKS, candidates

    def add_scores(
        self, program: Building, stage: Stage, regions: str, levels: Sequence[str]
    ) -> str:
        """Adds what a mask head makes of the features of regions; returns its name."""
        features = self._cut(program, stage.align, regions, levels)
        (scores,) = program.trace(stage.network, stage.sample, features)
        return scores


def read_stage(
    part: str, head: Any, extractor: Any, network: Callable[..., tuple[Tensor]]
) -> Stage:
    """A mask head, ``part`` of a cascade; raises ConfigError if no operation stands for it."""
    name = f"roi_head.mask_head{part}"
    check_type(name, head, FCNMaskHead, "predict_by_feat", "_predict_by_feat_single")
    align = read_align(f"roi_head.mask_roi_extractor{part}", extractor)
    align = replace(align, output=f"{MASKS}{part}.features")
    return Stage(part, network, align, sample_of(extractor, align))


def _network(index: int | None, model: Any, features: Tensor) -> tuple[Tensor]:
    roi_head = model.roi_head
    if roi_head.with_shared_head:
        features = roi_head.shared_head(features)
    head = roi_head.mask_head if index is None else roi_head.mask_head[index]
    return (head(features),)


@contextlib.contextmanager
def _hint() -> Iterator[None]:
    """Says of masks that cannot be lowered that boxes may be."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{error}; --boxes-only exports boxes without masks") from error
