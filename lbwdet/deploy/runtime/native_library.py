"""The compiled engine as a ctypes library: finding it, and its structs. Mirrors csrc/lbw.h."""

import ctypes
from ctypes import POINTER, c_char_p, c_float, c_int8, c_int32, c_int64, c_uint8, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from lbwdet.errors import LBWError

ABI = 3


class NativeError(LBWError):
    """The native engine is not there, or cannot do what was asked."""


class PreprocessStruct(ctypes.Structure):
    _fields_ = [
        ("output", c_int32),
        ("width", c_int32),
        ("height", c_int32),
        ("keep_ratio", c_int32),
        ("to_rgb", c_int32),
        ("size_divisor", c_int32),
        ("table", POINTER(c_uint8)),
    ]


class ConvStruct(ctypes.Structure):
    _fields_ = [
        ("input", c_int32),
        ("residual", c_int32),
        ("output", c_int32),
        ("in_channels", c_int32),
        ("out_channels", c_int32),
        ("kernel", c_int32 * 2),
        ("stride", c_int32 * 2),
        ("padding", c_int32 * 2),
        ("dilation", c_int32 * 2),
        ("relu", c_int32),
        ("upsample", c_int32),
        ("ratio", c_float),
        ("integers", POINTER(c_int8)),
        ("multiplier", POINTER(c_float)),
        ("offset", POINTER(c_float)),
    ]


class MaxPoolStruct(ctypes.Structure):
    _fields_ = [
        ("input", c_int32),
        ("output", c_int32),
        ("kernel", c_int32 * 2),
        ("stride", c_int32 * 2),
        ("padding", c_int32 * 2),
    ]


class RequantizeStruct(ctypes.Structure):
    _fields_ = [
        ("input", c_int32),
        ("output", c_int32),
        ("table", POINTER(c_uint8)),
    ]


class BoxCoderStruct(ctypes.Structure):
    _fields_ = [
        ("means", c_float * 4),
        ("stds", c_float * 4),
        ("max_log_ratio", c_float),
    ]


class ProposalsStruct(ctypes.Structure):
    _fields_ = [
        ("output", c_int32),
        ("num_levels", c_int32),
        ("num_anchors", c_int32),
        ("scores", POINTER(c_int32)),
        ("deltas", POINTER(c_int32)),
        ("strides", POINTER(c_int32)),
        ("base_anchors", POINTER(c_float)),
        ("coder", BoxCoderStruct),
        ("pre_nms", c_int32),
        ("max_boxes", c_int32),
        ("iou_threshold", c_float),
        ("min_size", c_float),
    ]


class RoIAlignStruct(ctypes.Structure):
    _fields_ = [
        ("boxes", c_int32),
        ("output", c_int32),
        ("num_levels", c_int32),
        ("inputs", POINTER(c_int32)),
        ("scales", POINTER(c_float)),
        ("ratios", POINTER(c_float)),
        ("size", c_int32),
        ("sampling_ratio", c_int32),
        ("finest_scale", c_float),
    ]


class PSRoIAlignStruct(ctypes.Structure):
    _fields_ = [
        ("input", c_int32),
        ("boxes", c_int32),
        ("output", c_int32),
        ("size", c_int32),
        ("sampling_ratio", c_int32),
        ("scale", c_float),
    ]


class DetectionsStruct(ctypes.Structure):
    _fields_ = [
        ("scores", c_int32),
        ("deltas", c_int32),
        ("boxes", c_int32),
        ("num_classes", c_int32),
        ("class_agnostic", c_int32),
        ("coder", BoxCoderStruct),
        ("score_threshold", c_float),
        ("iou_threshold", c_float),
        ("max_boxes", c_int32),
    ]


_ENGINE = c_void_p
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "lbw_abi": (c_int32, []),
    "lbw_last_error": (c_char_p, []),
    "lbw_isa_name": (c_char_p, [c_int32]),
    "lbw_isa_supported": (c_int32, [c_int32]),
    "lbw_create": (_ENGINE, [c_char_p, c_int32, c_int64]),
    "lbw_destroy": (None, [_ENGINE]),
    "lbw_isa": (c_char_p, [_ENGINE]),
    "lbw_add_value": (c_int32, [_ENGINE, c_int32, c_int32, c_int32, c_int32]),
    "lbw_add_preprocess": (c_int32, [_ENGINE, POINTER(PreprocessStruct)]),
    "lbw_add_conv": (c_int32, [_ENGINE, POINTER(ConvStruct)]),
    "lbw_add_max_pool": (c_int32, [_ENGINE, POINTER(MaxPoolStruct)]),
    "lbw_add_requantize": (c_int32, [_ENGINE, POINTER(RequantizeStruct)]),
    "lbw_add_proposals": (c_int32, [_ENGINE, POINTER(ProposalsStruct)]),
    "lbw_add_roi_align": (c_int32, [_ENGINE, POINTER(RoIAlignStruct)]),
    "lbw_add_ps_roi_align": (c_int32, [_ENGINE, POINTER(PSRoIAlignStruct)]),
    "lbw_add_detections": (c_int32, [_ENGINE, POINTER(DetectionsStruct)]),
    "lbw_run": (c_int32, [_ENGINE, c_void_p, *[c_int32] * 4, c_void_p, c_void_p, c_void_p]),
    "lbw_value_shape": (c_int32, [_ENGINE, c_int32, c_void_p]),
    "lbw_value": (c_int32, [_ENGINE, c_int32, c_void_p]),
    "lbw_profile": (c_int32, [_ENGINE, c_int32, c_void_p, c_void_p]),
}


def library_path() -> Path | None:
    """The compiled engine of this installation, for this Python; None if it was not built."""
    beside = (Path(__file__).with_name(f"_native{suffix}") for suffix in EXTENSION_SUFFIXES)
    return next((path for path in beside if path.exists()), None)


@cache
def load(path: Path | None) -> ctypes.CDLL:
    """The library with the types of its functions. ctypes releases the GIL in every call.

    Raises:
        NativeError: it is not there, or was built from other sources than this package.
    """
    if path is None:
        raise NativeError(
            "the native engine of lbwdet was not built when lbwdet was installed: install a C++ "
            "compiler (Debian: apt-get install g++) and run 'pip install' again, "
            "or use engine='reference'"
        )
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise NativeError(f"{path} is not the native engine of lbwdet: {error}") from error
    if (found := library.lbw_abi()) != ABI:
        raise NativeError(
            f"{path} has interface {found}, this lbwdet needs {ABI}: run 'pip install' again"
        )
    return library
