"""RoIPool with mmcv's rounding, which torchvision's differs from.

mmcv scales the region, counts x2 and y2 as inside it, and rounds only the
edges of the bins, outwards; torchvision rounds the region first.
"""

import torch
from torch import Tensor

from lbwdet.compat.operators.numerics import widen


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fills ``output`` with the maximum of each bin and ``argmax`` with its place.

    Args:
        input: [N, C, H, W].
        rois: [K, 5], rows of (image index, x1, y1, x2, y2).
        output: [K, C, pooled_height, pooled_width]; 0 for a bin without pixels.
        argmax: shaped like output, int32: row * W + column; -1 without pixels.
        pooled_height: bins per column.
        pooled_width: bins per row.
        spatial_scale: size of the feature map by that of the image.
    """
    height, width = input.shape[2:]
    regions = widen(rois)
    starts, ends = regions[:, 1:3] * spatial_scale, (regions[:, 3:5] + 1) * spatial_scale
    # A region turned inside out has no pixels.
    valid = (ends > starts).all(dim=1, keepdim=True)
    ends = ends.where(valid, starts)
    columns = _bin_edges(starts[:, 0], ends[:, 0], pooled_width, width)
    rows = _bin_edges(starts[:, 1], ends[:, 1], pooled_height, height)
    output.zero_()
    argmax.fill_(-1)
    for k, image in enumerate(regions[:, 0].long().tolist()):
        if not valid[k]:
            continue
        for p, (top, bottom) in enumerate(rows[k]):
            for q, (left, right) in enumerate(columns[k]):
                if bottom <= top or right <= left:
                    continue
                pixels = input[image, :, top:bottom, left:right].flatten(1)
                output[k, :, p, q], at = pixels.max(dim=1)
                at_row, at_column = at // (right - left) + top, at % (right - left) + left
                argmax[k, :, p, q] = at_row * width + at_column


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fills ``grad_input`` [N, C, H, W]: each bin's gradient goes to its maximum."""
    channels, height, width = grad_input.shape[1:]
    planes = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    index = planes[:, :, None, None] * (height * width) + argmax.clamp(min=0)
    gradient = widen(grad_output) * (argmax >= 0)
    flat = gradient.new_zeros(grad_input.numel())
    flat.index_add_(0, index.flatten(), gradient.flatten())
    grad_input.copy_(flat.view_as(grad_input))


def _bin_edges(starts: Tensor, ends: Tensor, bins: int, size: int) -> list[list[list[int]]]:
    """[K, bins, 2], first and last + 1 pixel of each bin along one direction."""
    bin_size = ((ends - starts) / bins)[:, None]
    number = torch.arange(bins, device=starts.device)
    first = (number * bin_size + starts[:, None]).floor()
    last = ((number + 1) * bin_size + starts[:, None]).ceil()
    edges: list[list[list[int]]] = torch.stack([first, last], dim=2).clamp(0, size).long().tolist()
    return edges
