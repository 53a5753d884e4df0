"""Other sizes of maps, as single calls: what sizes say at one size of the image is ambiguous."""

import torch
from mmdet.models.utils import aligned_bilinear
from torch import Tensor
from torch.nn import functional as F


@torch.library.custom_op("lbwdet::resized", mutates_args=())
def resized(x: Tensor, height: int, width: int) -> Tensor:
    """A map in a size that does not depend on the image's, by bilinear interpolation."""
    return F.interpolate(x, size=(height, width), mode="bilinear").clone()


@resized.register_fake
def _(x: Tensor, height: int, width: int) -> Tensor:
    return x.new_empty(*x.shape[:2], height, width)


@torch.library.custom_op("lbwdet::aligned", mutates_args=())
def aligned(x: Tensor, factor: int) -> Tensor:
    """A map ``factor`` times as large, as MMDetection's ``aligned_bilinear`` makes it."""
    found: Tensor = aligned_bilinear(x, factor).clone()
    return found


@aligned.register_fake
def _(x: Tensor, factor: int) -> Tensor:
    return x.new_empty(*x.shape[:2], *(side * factor for side in x.shape[2:]))
