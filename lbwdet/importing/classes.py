"""Channels of a published detector for the classes of another data set, by their names."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from lbwdet.errors import ConfigError

# What PASCAL VOC calls otherwise than COCO.
COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def channels_of(wanted: Sequence[str], known: Sequence[str], path: str | Path) -> list[int]:
    """Where in ``known`` the ``wanted`` classes are.

    >>> channels_of(["sofa", "cat"], ["cat", "dog", "couch"], "yolox.pth")
    [2, 0]

    Args:
        wanted: names of the data set, or VOC's names for COCO's classes.
        known: names of the checkpoint's class channels.
        path: of the checkpoint, for messages.

    Raises:
        ConfigError: a class has no partner, or two have the same.
    """
    partners = {name: _partner(name, known) for name in wanted}
    if missing := [name for name, partner in partners.items() if partner is None]:
        near = difflib.get_close_matches(missing[0], known, n=3, cutoff=0.5)
        hint = f"; names like it: {', '.join(near)}" if near else ""
        raise ConfigError(
            f"{path}: has no channel for the class {', '.join(map(repr, missing))} of the data "
            f"set, among its {len(known)} classes{hint}; leave it out of metainfo's classes, or "
            "name it as the checkpoint does"
        )
    found = [partner for partner in partners.values() if partner is not None]
    if len(set(found)) < len(found):
        twice = [name for name in partners if found.count(str(partners[name])) > 1]
        raise ConfigError(f"{path}: the classes {twice} of the data set are one of its classes")
    return [known.index(partner) for partner in found]


def _partner(name: str, known: Sequence[str]) -> str | None:
    spellings = (name, COCO_NAMES.get(name), name.replace("_", " "))
    return next((spelling for spelling in spellings if spelling in known), None)
