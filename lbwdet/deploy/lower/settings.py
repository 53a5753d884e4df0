"""What heads ask of modules and settings, and how they say that these are something else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder

from lbwdet.deploy.runtime.coders import DeltaCoder, Four
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


def read_anchors(name: str, generator: Any) -> Priors:
    """Raises ConfigError if they are no plain anchors."""
    check_exactly(name, generator, AnchorGenerator)
    return Priors(
        tuple(one_of_pair(f"{name}.strides", stride) for stride in generator.strides),
        tuple(tuple(four(anchor) for anchor in level.tolist()) for level in generator.base_anchors),
    )


def read_coder(name: str, coder: Any) -> DeltaCoder:
    """Raises ConfigError if boxes are coded otherwise than as deltas."""
    check_exactly(name, coder, DeltaXYWHBBoxCoder)
    if coder.add_ctr_clamp:
        raise ConfigError(
            f"{name}: add_ctr_clamp=True cannot be lowered; supported is add_ctr_clamp=False"
        )
    return DeltaCoder(four(coder.means), four(coder.stds), MAX_RATIO, bool(coder.clip_border))


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
            raise ConfigError(f"{self.name}.nms: class_agnostic=True cannot be lowered here")
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
