"""What heads ask of modules and settings, and how they say that these are something else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mmdet.models.task_modules import (
    AnchorGenerator,
    DeltaXYWHBBoxCoder,
    DistancePointBBoxCoder,
    LegacyDeltaXYWHBBoxCoder,
    MlvlPointGenerator,
    TBLRBBoxCoder,
)

from lbwdet.deploy.runtime.coders import Coder, DeltaCoder, DistanceCoder, Four
from lbwdet.errors import ConfigError

Group = Literal["class", "level", "all"]

MAX_RATIO = 16 / 1000  # DeltaXYWHBBoxCoder's wh_ratio_clip


def check_type(name: str, module: Any, base: type, *methods: str) -> None:
    """A subclass may have other layers, which tracing sees, but not do other things with them.

    Raises:
        ConfigError: no ``base``, or one of its ``methods`` is another.
    """
    if not isinstance(module, base) or any(
        getattr(type(module), method) is not getattr(base, method) for method in methods
    ):
        kept = f" with its own {' and '.join(methods)}" if methods else ""
        raise ConfigError(
            f"{name} {type(module).__name__} cannot be lowered; supported is {base.__name__}{kept}"
        )


def check_exactly(name: str, thing: Any, kind: type) -> None:
    """Raises ConfigError if ``thing`` is of another type, be it derived from ``kind``."""
    if type(thing) is not kind:
        raise ConfigError(
            f"{name}: {type(thing).__name__} cannot be lowered; supported is {kind.__name__}"
        )


def one_of_pair(name: str, pair: Any) -> int:
    """The one number that both entries of a pair are; raises ConfigError if they differ."""
    first, second = pair
    if first != second:
        raise ConfigError(f"{name}={pair} cannot be lowered; both sides have to be equal")
    return int(first)


def four(values: Sequence[float]) -> Four:
    """A box, or four numbers for its parts."""
    a, b, c, d = (float(value) for value in values)
    return a, b, c, d


@dataclass(frozen=True)
class Priors:
    """What a dense head predicts boxes from.

    Attributes:
        strides: of each level.
        boxes: of each level, those at its first pixel.
    """

    strides: tuple[int, ...]
    boxes: tuple[tuple[Four, ...], ...]

    def with_sides(self, lengths: Sequence[float]) -> "Priors":
        """Squares with these sides, by level, in the same places."""
        return replace(
            self,
            boxes=tuple(
                tuple(_square((x1 + x2) / 2, (y1 + y2) / 2, side) for x1, y1, x2, y2 in level)
                for level, side in zip(self.boxes, lengths, strict=True)
            ),
        )


def _square(x: float, y: float, side: float) -> Four:
    half = side / 2
    return x - half, y - half, x + half, y + half


def read_anchors(name: str, generator: Any) -> Priors:
    """Raises ConfigError if they are not the same boxes at every pixel of a level."""
    check_type(name, generator, AnchorGenerator, "grid_priors", "single_level_grid_priors")
    return Priors(
        _strides(name, generator),
        tuple(tuple(four(anchor) for anchor in level.tolist()) for level in generator.base_anchors),
    )


def read_points(name: str, generator: Any) -> Priors:
    """Boxes without extent; raises ConfigError if they are no plain points."""
    check_exactly(name, generator, MlvlPointGenerator)
    strides = _strides(name, generator)
    middles = [float(generator.offset * stride) for stride in strides]
    return Priors(strides, tuple(((middle,) * 4,) for middle in middles))


def _strides(name: str, generator: Any) -> tuple[int, ...]:
    return tuple(one_of_pair(f"{name}.strides", stride) for stride in generator.strides)


def read_coder(name: str, coder: Any) -> Coder:
    """Raises ConfigError if boxes are coded otherwise than as deltas, or sides in anchors."""
    if type(coder) is TBLRBBoxCoder:
        if not isinstance(coder.normalizer, float):
            raise ConfigError(f"{name}: normalizer={coder.normalizer} cannot be lowered; give one")
        return DistanceCoder(
            coder.normalizer, bool(coder.clip_border), of_prior=True, vertical_first=True
        )
    if type(coder) is LegacyDeltaXYWHBBoxCoder:
        return DeltaCoder(four(coder.means), four(coder.stds), MAX_RATIO, end_pixels=True)
    check_exactly(name, coder, DeltaXYWHBBoxCoder)
    max_shift = float(coder.ctr_clamp) if coder.add_ctr_clamp else 0.0
    return DeltaCoder(
        four(coder.means), four(coder.stds), MAX_RATIO, bool(coder.clip_border), max_shift
    )


def read_distance_coder(name: str, coder: Any) -> DistanceCoder:
    """Raises ConfigError if boxes are coded otherwise than by distances from points."""
    check_exactly(name, coder, DistancePointBBoxCoder)
    return DistanceCoder(clip=bool(coder.clip_border))


@dataclass(frozen=True)
class TestConfig:
    """A ``test_cfg`` and its name in messages."""

    __test__ = False  # no test, although so called

    name: str
    settings: Mapping[str, Any]

    def number(self, key: str, default: float | None = None) -> float:
        """A number; raises ConfigError if there is none, and no default."""
        value = self.settings.get(key, default)
        if value is None:
            raise ConfigError(f"{self.name}.{key} is missing; give a number")
        return float(value)

    def positive(self, key: str) -> int:
        """A whole number above 0; raises ConfigError if it is none."""
        value = self.settings.get(key, -1)
        if not value > 0:
            raise ConfigError(f"{self.name}.{key}={value} cannot be lowered; give a number above 0")
        return int(value)

    def nms_threshold(self) -> float:
        """Of non-maximum suppression class by class; raises ConfigError if it is another."""
        threshold, group = self.nms("class")
        if group == "all":
            raise ConfigError(
                f"{self.name}.nms: class_agnostic=True cannot be lowered for this head, which "
                "suppresses class by class; supported is class_agnostic=False"
            )
        return threshold

    def nms(self, group: Group) -> tuple[float, Group]:
        """The threshold of plain non-maximum suppression, and who suppresses one another.

        Args:
            group: who does, unless the setting says that all do.

        Raises:
            ConfigError: it is another kind of suppression.
        """
        given = dict(self.settings.get("nms") or {})
        nms = dict(given)
        nms.pop("split_thr", None)  # how it is computed, not what
        kind, threshold = nms.pop("type", "nms"), nms.pop("iou_threshold", None)
        together = nms.pop("class_agnostic", False)
        if kind != "nms" or threshold is None or nms:
            raise ConfigError(
                f"{self.name}.nms={given} cannot be lowered; supported is "
                "dict(type='nms', iou_threshold=..., class_agnostic=...)"
            )
        return float(threshold), "all" if together else group
