"""From a config's test pipeline and a model's data preprocessor to one operation."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.models.data_preprocessors import DetDataPreprocessor, TrackDataPreprocessor

from lbwdet.configs import class_name
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.errors import ConfigError

# Steps of a test pipeline that leave the pixels as they are.
NEUTRAL = (
    "LoadImageFromFile",
    "LoadImageFromNDArray",
    "LoadAnnotations",
    "LoadPanopticAnnotations",
    "LoadTrackAnnotations",
    "PackDetInputs",
    "PackTrackInputs",
)
OUTPUT = "input"


def read_preprocess(pipeline: Sequence[Mapping[str, Any]], preprocessor: Any) -> Preprocess:
    """What happens to an image between the file and the network.

    Raises:
        ConfigError: a step or a setting that :class:`Preprocess` does not have.
    """
    resize, pad = _resize_and_pad(pipeline)
    width, height = resize["scale"]
    if type(preprocessor) not in (DetDataPreprocessor, TrackDataPreprocessor):
        raise ConfigError(
            f"data_preprocessor {type(preprocessor).__name__} cannot be lowered; "
            "supported are DetDataPreprocessor and TrackDataPreprocessor"
        )
    normalize = preprocessor._enable_normalize
    return Preprocess(
        output=OUTPUT,
        size=(int(width), int(height)),
        keep_ratio=bool(resize.get("keep_ratio", False)),
        mean=_three(preprocessor.mean) if normalize else (0.0, 0.0, 0.0),
        std=_three(preprocessor.std) if normalize else (1.0, 1.0, 1.0),
        to_rgb=bool(preprocessor._channel_conversion),
        size_divisor=int(preprocessor.pad_size_divisor),
        pad_value=float(preprocessor.pad_value),
        antialias=resize.get("backend") == "pillow",
        **({} if pad is None else _pad(pad)),
    )


def _resize_and_pad(
    pipeline: Sequence[Mapping[str, Any]],
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    resizes: list[Mapping[str, Any]] = []
    pads: list[Mapping[str, Any]] = []
    for step in single_images(pipeline):
        kind = class_name(step["type"])
        if kind == "Resize":
            resizes.append(step)
        elif kind == "Pad" and resizes and not pads:
            pads.append(step)
        elif kind == "Pad":
            raise ConfigError("test pipeline: one Pad can be lowered, after Resize")
        elif kind == "RandomFlip" and step.get("prob") == 0:
            continue
        elif kind not in NEUTRAL:
            raise ConfigError(
                f"test pipeline: {kind} cannot be lowered; supported are Resize, Pad, "
                f"{', '.join(NEUTRAL)}"
            )
    if len(resizes) != 1:
        raise ConfigError(f"test pipeline: one Resize is needed, not {len(resizes)}")
    (resize,) = resizes
    others = set(resize) - {"type", "scale", "keep_ratio", "backend", "interpolation"}
    backend, keeps = resize.get("backend", "cv2"), resize.get("keep_ratio", False)
    # Where one side grows and the other shrinks, versions of Pillow differ in their order.
    plain = backend == "cv2" or (backend == "pillow" and keeps)
    plain = plain and resize.get("interpolation") in (None, "bilinear")
    scale = resize.get("scale")
    if others or not plain or not _is_size(scale):
        raise ConfigError(
            f"test pipeline: Resize({_settings(resize)}) cannot be lowered; supported are "
            "scale=(width, height) and keep_ratio, bilinear by OpenCV or, keeping the ratio, "
            "by Pillow"
        )
    return resize, pads[0] if pads else None


def _is_size(scale: Any) -> bool:
    two = isinstance(scale, Sequence) and len(scale) == 2
    return two and all(0 < side < math.inf for side in scale)


def single_images(pipeline: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The steps for one image, where a pipeline does the same with every image of a video."""
    steps: list[Mapping[str, Any]] = []
    for step in pipeline:
        if class_name(step["type"]) == "TransformBroadcaster":
            steps += single_images(step["transforms"])
        else:
            steps.append(step)
    return steps


def _pad(pad: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``Preprocess`` that do what ``Pad`` does."""
    value = pad.get("pad_val", 0)
    if isinstance(value, Mapping):
        value = value.get("img", 0)
    pixel = (value,) * 3 if isinstance(value, int) else value
    size, square = pad.get("size"), bool(pad.get("pad_to_square", False))
    divisor = pad.get("size_divisor")
    if (
        set(pad) - {"type", "size", "size_divisor", "pad_to_square", "pad_val", "padding_mode"}
        or pad.get("padding_mode", "constant") != "constant"
        or (size is not None) + (square or divisor is not None) != 1
        or not isinstance(divisor, int | None)
        or (size is not None and (not isinstance(size, Sequence) or len(size) != 2))
        or not isinstance(pixel, Sequence)
        or len(pixel) != 3
        or not all(number in range(256) for number in pixel)
    ):
        raise ConfigError(
            f"test pipeline: Pad({_settings(pad)}) cannot be lowered; supported are "
            "pad_to_square=True or size=(width, height), size_divisor, and pad_val of one integer "
            "or three in 0 .. 255"
        )
    return dict(
        pad_to_square=square,
        pad_size=(0, 0) if size is None else (int(size[0]), int(size[1])),
        pad_pixel=tuple(int(number) for number in pixel),
        pad_divisor=divisor or 1,
    )


def _settings(step: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in step.items() if key != "type")


def _three(values: Any) -> tuple[float, float, float]:
    """As written in the config: 123.675, not the float32 number beside it."""
    shown = [float(str(value)) for value in values.flatten().numpy()]
    if not all(math.isfinite(value) for value in shown):
        raise ConfigError(f"data_preprocessor: mean or std is not finite: {shown}")
    first, second, third = shown if len(shown) == 3 else shown * 3
    return first, second, third
