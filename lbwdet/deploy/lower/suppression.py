"""What a region head's setting of non-maximum suppression means."""

from typing import Any, Literal, get_args

from lbwdet.deploy.lower.settings import TestConfig
from lbwdet.deploy.runtime.operations.soft_suppress import SoftSuppress
from lbwdet.deploy.runtime.operations.suppress import Suppress
from lbwdet.errors import ConfigError

Method = Literal["naive", "linear", "gaussian"]


def read_suppress(config: TestConfig, output: str) -> Suppress | SoftSuppress:
    """Of each class by itself, unless the setting says otherwise; its input's name comes later.

    Args:
        config: with ``nms``, ``max_per_img`` and ``score_thr``.
        output: name of what is left.

    Raises:
        ConfigError: a kind or a setting that no operation has.
    """
    most = config.positive("max_per_img")
    given = dict(config.settings.get("nms") or {})
    if given.get("type") == "soft_nms":
        return _read_soft(config, given, output, most)
    threshold, group = config.nms("class")
    return Suppress("", output, threshold, most, group)


def _read_soft(config: TestConfig, given: dict[str, Any], output: str, most: int) -> SoftSuppress:
    """With the defaults of mmcv's ``soft_nms``."""
    method = given.get("method", "linear")
    known: dict[str, Any] = dict(
        type="soft_nms", iou_threshold=0.3, sigma=0.5, min_score=1e-3, method="linear"
    )
    known |= dict(class_agnostic=False, offset=0, split_thr=0)  # the last: how, not what
    if given.keys() - known.keys() or given.get("offset") or method not in get_args(Method):
        raise ConfigError(
            f"{config.name}.nms={given} cannot be lowered; supported is dict(type='soft_nms', "
            "iou_threshold=..., sigma=..., min_score=..., method='linear', class_agnostic=...)"
        )
    soft = known | given
    if config.number("score_thr") < soft["min_score"]:
        # Where classes are told apart by shifting boxes, each drops the others' low scores.
        raise ConfigError(
            f"{config.name}.score_thr={config.number('score_thr'):g} cannot be lowered with "
            f"min_score={soft['min_score']:g} of nms; give a score_thr of at least that"
        )
    return SoftSuppress(
        "",
        output,
        iou_threshold=float(soft["iou_threshold"]),
        max_boxes=most,
        group="all" if soft["class_agnostic"] else "class",
        method=method,
        sigma=float(soft["sigma"]),
        min_score=float(soft["min_score"]),
    )
