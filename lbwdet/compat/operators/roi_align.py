"""RoIAlign: bilinear samples of each region, averaged (by torchvision) or maximized."""

import math

import torch
from torch import Tensor

from lbwdet.compat.operators.numerics import widen

_MAX = 0  # mmcv's pool_mode; 1 is the average


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fills ``output``, and with pool_mode 0 ``argmax_y`` and ``argmax_x``.

    Args:
        input: [N, C, H, W].
        rois: [K, 5], rows of (image index, x1, y1, x2, y2).
        output: [K, C, aligned_height, aligned_width].
        argmax_y: shaped like output; row (a fraction) of the largest sample of
            each bin in its own dtype, NaN where a bin has no samples. Empty
            with pool_mode 1.
        argmax_x: its column.
        aligned_height: bins per column.
        aligned_width: bins per row.
        spatial_scale: size of the feature map by that of the image.
        sampling_ratio: samples per bin and direction; 0: one per feature pixel.
        pool_mode: 0 largest sample, 1 average.
        aligned: whether pixel centres lie at half-integers.
    """
    features = widen(input)
    regions = rois.to(features.dtype)
    if pool_mode != _MAX:
        pooled = torch.ops.torchvision.roi_align(
            features,
            regions,
            spatial_scale,
            aligned_height,
            aligned_width,
            sampling_ratio,
            aligned,
        )
        output.copy_(pooled)
        return
    edges = regions[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    sizes = edges[:, 2:] - edges[:, :2]
    if not aligned:
        sizes = sizes.clamp(min=1)
    bin_sizes = sizes / sizes.new_tensor([aligned_width, aligned_height])
    for k, image in enumerate(regions[:, 0].long().tolist()):
        rows = _sample_positions(edges[k, 1], bin_sizes[k, 1], aligned_height, sampling_ratio)
        columns = _sample_positions(edges[k, 0], bin_sizes[k, 0], aligned_width, sampling_ratio)
        output[k], argmax_y[k], argmax_x[k] = _largest_samples(features[image], rows, columns)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fills ``grad_input`` [N, C, H, W]; arguments as in :func:`roi_align_forward`."""
    gradient = widen(grad_output)
    if pool_mode == _MAX:
        images = rois[:, 0].long()
        grad_input.copy_(
            _scatter_samples(gradient, images, widen(argmax_y), widen(argmax_x), grad_input.shape)
        )
        return
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            gradient,
            rois.to(gradient.dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _sample_positions(start: Tensor, bin_size: Tensor, bins: int, sampling_ratio: int) -> Tensor:
    """[bins, samples], evenly spread samples of each bin along one direction."""
    samples = sampling_ratio if sampling_ratio > 0 else max(math.ceil(bin_size), 0)
    within = (torch.arange(samples).to(start) + 0.5) / samples
    return start + bin_size * (torch.arange(bins).to(start)[:, None] + within)


def _largest_samples(
    features: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Largest sample of each bin of one region, and its row and column: [C, P, Q] each.

    Args:
        features: [C, H, W].
        rows: [P, samples], sampled rows of each bin.
        columns: [Q, samples], sampled columns of each bin.
    """
    shape = (len(features), len(rows), len(columns))
    if rows.numel() == 0 or columns.numel() == 0:
        nothing = features.new_full(shape, math.nan)
        return torch.zeros_like(nothing), nothing, nothing
    # Bilinear interpolation is linear in each direction, hence two matrices.
    samples = _interpolation_matrix(rows.flatten(), features.size(1)) @ features
    samples = samples @ _interpolation_matrix(columns.flatten(), features.size(2)).T
    samples = samples.view(len(features), *rows.shape, *columns.shape)
    largest, at = samples.transpose(2, 3).flatten(3).max(dim=3)
    p = torch.arange(len(rows), device=at.device)[:, None]
    q = torch.arange(len(columns), device=at.device)
    return largest, rows[p, at // columns.size(1)], columns[q, at % columns.size(1)]


def _interpolation_matrix(positions: Tensor, size: int) -> Tensor:
    """[K, size], so that ``matrix @ line`` samples a line of pixels at K positions."""
    matrix = positions.new_zeros(len(positions), size)
    for index, share in _neighbours(positions, size):
        matrix.scatter_add_(1, index[:, None], share[:, None])
    return matrix


def _scatter_samples(
    gradient: Tensor, images: Tensor, rows: Tensor, columns: Tensor, shape: torch.Size
) -> Tensor:
    """Gradient of samples with respect to features [N, C, H, W] of the given shape.

    Args:
        gradient: [K, C, P, Q].
        images: [K], the image of each region.
        rows: [K, C, P, Q], where the samples were taken; NaN: nowhere.
        columns: likewise.
        shape: of the result.
    """
    _, channels, height, width = shape
    planes = images[:, None] * channels + torch.arange(channels, device=images.device)
    planes = planes[:, :, None, None] * height
    flat = gradient.new_zeros(shape.numel())
    for row, row_share in _neighbours(rows, height):
        for column, column_share in _neighbours(columns, width):
            index = (planes + row) * width + column
            flat.index_add_(0, index.flatten(), (gradient * row_share * column_share).flatten())
    return flat.view(shape)


def _neighbours(positions: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """The two pixels beside each position on a line of ``size``, with their shares.

    Positions up to one pixel outside count as on the border; beyond that, and
    for NaN, both shares are 0.
    """
    inside = (positions >= -1) & (positions <= size)
    clamped = positions.where(inside, 0).clamp(0, size - 1)
    low = clamped.long()
    share = clamped - low
    high = (low + 1).clamp(max=size - 1)
    return [(low, (1 - share) * inside), (high, share * inside)]
