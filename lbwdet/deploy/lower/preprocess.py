"""From a config's test pipeline and a model's data preprocessor to one operation."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.models.data_preprocessors import DetDataPreprocessor

from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.errors import ConfigError

# Steps of a test pipeline that leave the pixels as they are.
NEUTRAL = ("LoadImageFromFile", "LoadImageFromNDArray", "LoadAnnotations", "PackDetInputs")
OUTPUT = "input"


def read_preprocess(pipeline: Sequence[Mapping[str, Any]], preprocessor: Any) -> Preprocess:
    """What happens to an image between the file and the network.

    Raises:
        ConfigError: a step or a setting that :class:`Preprocess` does not have.
    """
    resize = _resize(pipeline)
    width, height = resize["scale"]
    if type(preprocessor) is not DetDataPreprocessor:
        raise ConfigError(
            f"data_preprocessor {type(preprocessor).__name__} cannot be lowered; "
            "supported is DetDataPreprocessor"
        )
    if preprocessor.pad_value != 0:
        raise ConfigError(
            f"data_preprocessor.pad_value={preprocessor.pad_value} cannot be lowered; "
            "supported is 0"
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
    )


def _resize(pipeline: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    resizes = []
    for step in pipeline:
        kind = str(step["type"]).rpartition(".")[2]
        if kind == "Resize":
            resizes.append(step)
        elif kind == "RandomFlip" and step.get("prob") == 0:
            continue
        elif kind not in NEUTRAL:
            raise ConfigError(
                f"test pipeline: {kind} cannot be lowered; supported are Resize, "
                f"{', '.join(NEUTRAL)}"
            )
    if len(resizes) != 1:
        raise ConfigError(f"test pipeline: one Resize is needed, not {len(resizes)}")
    (resize,) = resizes
    others = set(resize) - {"type", "scale", "keep_ratio", "backend", "interpolation"}
    plain = resize.get("backend", "cv2") == "cv2" and resize.get("interpolation") in (
        None,
        "bilinear",
    )
    scale = resize.get("scale")
    if others or not plain or not isinstance(scale, Sequence) or len(scale) != 2:
        raise ConfigError(
            f"test pipeline: Resize({_settings(resize)}) cannot be lowered; supported are "
            "scale=(width, height) and keep_ratio, bilinear by OpenCV"
        )
    return resize


def _settings(step: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in step.items() if key != "type")


def _three(values: Any) -> tuple[float, float, float]:
    """As written in the config: 123.675, not the float32 number beside it."""
    shown = [float(str(value)) for value in values.flatten().numpy()]
    if not all(math.isfinite(value) for value in shown):
        raise ConfigError(f"data_preprocessor: mean or std is not finite: {shown}")
    first, second, third = shown if len(shown) == 3 else shown * 3
    return first, second, third
