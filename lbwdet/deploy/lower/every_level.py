"""Regions cut from every level of the pyramid, and their sum: GRoIE's extractor."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmcv.cnn.bricks.generalized_attention import GeneralizedAttention
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.regions import read_places
from lbwdet.deploy.runtime.operations.add import Add
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.errors import ConfigError

Network = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True)
class EveryLevel:
    """How such regions are cut.

    Attributes:
        one_level: how they are cut from a level.
        strides: of the levels.
        size: of the features.
        before: what is computed of each level's features; None: nothing.
        after: what is computed of the sum; None: nothing.
        sample: features to trace both with.
        output: what the features are called.
    """

    one_level: RoIAlign
    strides: tuple[int, ...]
    size: int
    before: Network | None
    after: Network | None
    sample: Tensor
    output: str = ""

    @classmethod
    def of(cls, name: str, extractor: Any, align: RoIAlign, sample: Tensor) -> "EveryLevel":
        """That of a module with several levels.

        Args:
            name: of the module in a model.
            extractor: MMDetection's ``GenericRoIExtractor``.
            align: how regions would be cut from one of its levels.
            sample: features of some regions.

        Raises:
            ConfigError: levels are not added up, or it has another attention.
        """
        if extractor.aggregation != "sum":
            raise ConfigError(
                f"{name}: aggregation={extractor.aggregation!r} cannot be lowered; supported is "
                "'sum'"
            )
        before = functools.partial(_part, f"{name}.pre_module") if extractor.with_pre else None
        after: Network | None = None
        if extractor.with_post:
            after = functools.partial(_part, f"{name}.post_module")
            if isinstance(extractor.post_module, GeneralizedAttention):
                after = read_places(f"{name}.post_module", extractor.post_module, align.size)
        return cls(align, align.strides, align.size, before, after, sample)

    def add_to(self, program: Building, boxes: str, levels: Sequence[str]) -> str:
        """Adds the features of regions; see :func:`~lbwdet.deploy.lower.cutting.cut`."""
        parts = []
        for index, (stride, level) in enumerate(zip(self.strides, levels, strict=False)):
            part = f"{self.output}.{index}"
            program.add(
                replace(
                    self.one_level, inputs=(level,), boxes=boxes, output=part, strides=(stride,)
                )
            )
            parts.append(_traced(program, self.before, self.sample, part))
        total = f"{self.output}.sum"
        program.add(Add(tuple(parts), total))
        program.rename(_traced(program, self.after, self.sample, total), self.output)
        return self.output


def _traced(program: Building, network: Network | None, sample: Tensor, source: str) -> str:
    if network is None:
        return source
    (found,) = program.trace(network, sample, source)
    return found


def _part(name: str, model: Any, features: Tensor) -> Tensor:
    found: Tensor = model.get_submodule(name)(features)
    return found
