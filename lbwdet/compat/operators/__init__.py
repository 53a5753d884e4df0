"""Replacements for mmcv's compiled operators, from torchvision and plain torch.

Each function has the name and the calling convention of the C++ function that
mmcv's Python side calls: most outputs are allocated by the caller and filled
in place, and buffers that only the C++ code needs are accepted and left alone.
They run on any device. float16 and bfloat16 are computed in float32.
"""

from collections.abc import Callable
from typing import Any

from lbwdet.compat.operators import (
    attention,
    boxes,
    carafe,
    convolutions,
    focal_loss,
    roi_align,
    roi_pool,
)


def get_compiler_version() -> str:
    """What mmcv's ``collect_env`` prints for a build without compiled operators."""
    return "n/a"


def get_compiling_cuda_version() -> str:
    """As :func:`get_compiler_version`."""
    return "n/a"


REPLACEMENTS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        attention.ms_deform_attn_backward,
        attention.ms_deform_attn_forward,
        boxes.bbox_overlaps,
        boxes.nms,
        boxes.nms_match,
        boxes.softnms,
        carafe.carafe_backward,
        carafe.carafe_forward,
        carafe.carafe_naive_backward,
        carafe.carafe_naive_forward,
        convolutions.deform_conv_backward_input,
        convolutions.deform_conv_backward_parameters,
        convolutions.deform_conv_forward,
        convolutions.masked_col2im_forward,
        convolutions.masked_im2col_forward,
        convolutions.modulated_deform_conv_backward,
        convolutions.modulated_deform_conv_forward,
        focal_loss.sigmoid_focal_loss_backward,
        focal_loss.sigmoid_focal_loss_forward,
        focal_loss.softmax_focal_loss_backward,
        focal_loss.softmax_focal_loss_forward,
        get_compiler_version,
        get_compiling_cuda_version,
        roi_align.roi_align_backward,
        roi_align.roi_align_forward,
        roi_pool.roi_pool_backward,
        roi_pool.roi_pool_forward,
    )
}
