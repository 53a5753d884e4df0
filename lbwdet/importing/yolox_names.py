"""What YOLOX's own repository and MMDetection call the same layers, and when they run."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

STEM = "backbone.stem.conv.conv.weight"
SIZES = {16: "nano", 24: "tiny", 32: "s", 48: "m", 64: "l", 80: "x"}  # by channels of the stem
OF_MMDET = {
    "backbone.backbone.stem": "backbone.stem",
    **{f"backbone.backbone.dark{stage + 1}": f"backbone.stage{stage}" for stage in (1, 2, 3, 4)},
    "backbone.lateral_conv0": "neck.reduce_layers.0",
    "backbone.C3_p4": "neck.top_down_blocks.0",
    "backbone.reduce_conv1": "neck.reduce_layers.1",
    "backbone.C3_p3": "neck.top_down_blocks.1",
    "backbone.bu_conv2": "neck.downsamples.0",
    "backbone.C3_n3": "neck.bottom_up_blocks.0",
    "backbone.bu_conv1": "neck.downsamples.1",
    "backbone.C3_n4": "neck.bottom_up_blocks.1",
    "head.stems": "neck.out_convs",
    "head.cls_convs": "bbox_head.multi_level_cls_convs",
    "head.cls_preds": "bbox_head.multi_level_conv_cls",
    "head.reg_convs": "bbox_head.multi_level_reg_convs",
    "head.reg_preds": "bbox_head.multi_level_conv_reg",
    "head.obj_preds": "bbox_head.multi_level_conv_obj",
}
_PARTS = dict(dconv="depthwise_conv", pconv="pointwise_conv")
_PARTS_OF_CSP = dict(conv1="main_conv", conv2="short_conv", conv3="final_conv", m="blocks")
# The pooling pyramid of the last stage has a conv1 and a conv2, too, which keep their names.
_CSP = re.compile(r"(backbone\.stage(?:[1-3]\.1|4\.2)|neck\.\w+_blocks\.\d)\.(conv[123]|m)\.")

# Both networks run their parts in this order; within a part, branches before what joins them.
_ORDER = [*OF_MMDET.values()]
_WITHIN = ["main_conv", "short_conv", "blocks", "final_conv"]


def in_mmdet_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict of YOLOX's own repository under MMDetection's names; other keys stay.

    >>> in_mmdet_names({"backbone.backbone.dark3.1.m.0.conv2.pconv.bn.bias": 0.5})
    {'backbone.stage2.1.blocks.0.conv2.pointwise_conv.bn.bias': 0.5}
    """
    return {_in_mmdet_names(key): value for key, value in state.items()}


def _in_mmdet_names(key: str) -> str:
    for official, own in OF_MMDET.items():
        if key.startswith(f"{official}."):
            key = own + key.removeprefix(official)
            break
    key = _CSP.sub(lambda found: f"{found[1]}.{_PARTS_OF_CSP[found[2]]}.", key, count=1)
    return ".".join(_PARTS.get(part, part) for part in key.split("."))


def in_order(names: Iterable[str]) -> list[str]:
    """Names of layers in MMDetection's spelling, in the order in which YOLOX runs them.

    >>> in_order(["neck.out_convs.1.conv", "bbox_head.multi_level_conv_cls.0", "backbone.stem"])
    ['backbone.stem', 'bbox_head.multi_level_conv_cls.0', 'neck.out_convs.1.conv']
    """
    return sorted(names, key=_time)


def _time(name: str) -> tuple[Any, ...]:
    part = next(part for part in _ORDER if f"{name}.".startswith(f"{part}."))
    rest = name.removeprefix(part).strip(".").split(".")
    rank = _ORDER.index(part)
    head = _ORDER.index("neck.out_convs")
    # The head works level by level, all of its parts on one.
    level = int(rest[0]) if rank >= head else -1
    return (level, rank, [_rank(word) for word in rest])


def _rank(word: str) -> tuple[int, str]:
    if word.isdecimal():
        return int(word), ""
    return (_WITHIN.index(word), "") if word in _WITHIN else (0, word)
