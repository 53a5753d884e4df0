"""How regions are cut from the maps of an image."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from mmcv.ops import RoIAlign as MMCVRoIAlign
from mmdet.models import GenericRoIExtractor, SingleRoIExtractor
from torch import Tensor

from lbwdet.deploy.lower.building import Building
from lbwdet.deploy.lower.every_level import EveryLevel
from lbwdet.deploy.lower.settings import check_exactly, check_type, one_of_pair
from lbwdet.deploy.runtime.operations.roi_align import RoIAlign
from lbwdet.errors import ConfigError

Align = RoIAlign | EveryLevel
"""How regions are cut."""

Cut = Callable[[Building, Align, str, Sequence[str]], str]
"""Adds the features of regions; see :func:`cut`."""

NUM_SAMPLES = 2  # any number of regions to trace with; a program has none


def read_align(name: str, extractor: Any) -> Align:
    """How regions are cut out; the names come later.

    Raises:
        ConfigError: in a way that no operation has.
    """
    generic = isinstance(extractor, GenericRoIExtractor)
    if generic:
        check_type(name, extractor, GenericRoIExtractor, "forward")
    else:
        check_type(name, extractor, SingleRoIExtractor, "forward", "map_roi_levels")
    layers = list(extractor.roi_layers)
    for layer in layers:
        check_exactly(f"{name}.roi_layer", layer, MMCVRoIAlign)
        if layer.pool_mode != "avg":
            raise ConfigError(
                f"{name}: RoIAlign(pool_mode={layer.pool_mode!r}) cannot be lowered; supported is "
                "pool_mode='avg'"
            )
    align = RoIAlign(
        inputs=(),
        boxes="",
        output="",
        strides=tuple(int(stride) for stride in extractor.featmap_strides),
        size=one_of_pair(f"{name}.output_size", layers[0].output_size),
        sampling_ratio=int(layers[0].sampling_ratio),
        finest_scale=1.0 if generic else float(extractor.finest_scale),
        aligned=bool(layers[0].aligned),
    )
    if generic and len(layers) > 1:
        return EveryLevel.of(name, extractor, align, sample_of(extractor, align))
    return align


def cut(program: Building, align: Align, boxes: str, levels: Sequence[str]) -> str:
    """Adds the features of regions.

    Args:
        program: has what follows.
        align: how regions are cut, and what the features are called.
        boxes: name of the regions.
        levels: names of maps; the first of them are those that they are cut from.

    Returns:
        Name of the features.
    """
    if isinstance(align, EveryLevel):
        return align.add_to(program, boxes, levels)
    program.add(replace(align, inputs=tuple(levels[: len(align.strides)]), boxes=boxes))
    return align.output


def cut_levels(roi_head: Any) -> int:
    """How many of the image's maps, finest first, any region is cut from."""
    found = [roi_head.bbox_roi_extractor]
    if getattr(roi_head, "mask_head", None) is not None:
        found.append(roi_head.mask_roi_extractor)
    extractors = [each for one in found for each in (one if hasattr(one, "__len__") else [one])]
    return max(int(extractor.num_inputs) for extractor in extractors)


def sample_of(extractor: Any, align: Align) -> Tensor:
    """Features of some regions, to trace with."""
    return torch.zeros(NUM_SAMPLES, extractor.out_channels, align.size, align.size)
