"""Multi-scale deformable attention."""

from torch import Tensor

from lbwdet.compat.operators.numerics import gradients, widen


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted sum of bilinear samples from several feature maps.

    Args:
        value: [B, sum of H * W over levels, heads, D].
        value_spatial_shapes: [levels, 2], height and width of each level.
        value_level_start_index: not needed; the levels follow one another in ``value``.
        sampling_locations: [B, queries, heads, levels, points, 2], (x, y) in 0..1.
        attention_weights: [B, queries, heads, levels, points].
        im2col_step: not needed.

    Returns:
        [B, queries, heads * D].
    """
    output = _attend(
        widen(value), widen(sampling_locations), widen(attention_weights), value_spatial_shapes
    )
    return output.to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Fills the three gradients, each shaped like its input."""
    by_value, by_locations, by_weights = gradients(
        lambda v, at, w: _attend(v, at, w, value_spatial_shapes),
        (value, sampling_locations, attention_weights),
        grad_output,
    )
    grad_value.copy_(by_value)
    grad_sampling_loc.copy_(by_locations)
    grad_attn_weight.copy_(by_weights)


def _attend(value: Tensor, locations: Tensor, weights: Tensor, shapes: Tensor) -> Tensor:
    # mmcv's own version for the CPU; imported here because importing mmcv.ops
    # is what loads this module.
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    output: Tensor = multi_scale_deformable_attn_pytorch(value, shapes.tolist(), locations, weights)
    return output
