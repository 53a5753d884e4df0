"""From a detector and some images to an artifact."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log
from torch import nn

from lbwdet.deploy.calibration import calibrate
from lbwdet.deploy.lower import Lowered, lower
from lbwdet.deploy.lower.wrapped import detector_in
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.deploy.runtime.weights import Array
from lbwdet.layers import describe_quantization

SHOWN_LAYERS = 8


def export_detector(
    model: nn.Module,
    pipeline: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    images: Iterable[tuple[str, Array]],
    method: str = "mse",
    info: Mapping[str, Any] | None = None,
    on_image: Callable[[], None] = lambda: None,
    boxes_only: bool = False,
) -> Artifact:
    """Lowers and calibrates a detector.

    Args:
        model: MMDetection's detector in eval mode.
        pipeline: its test pipeline, as in the config.
        classes: names, in the order of the labels.
        images: to calibrate on: names and uint8 [H, W, 3] BGR images.
        method: of :func:`lbwdet.deploy.calibration.calibrate`.
        info: JSON values for the artifact's metadata; how the layers are quantized is added.
        on_image: called after each image.
        boxes_only: leave masks out.

    Raises:
        ConfigError: a module or a setting that cannot be lowered.
        DataError: no images, or one that leads to NaN.
        ArtifactError: a layer's accumulator could overflow.
    """
    lowered = lower(model, pipeline, boxes_only=boxes_only)
    if detector_in(model)[0] is not model:
        print_log(
            f"of {type(model).__name__}, what finds instances in a single image is exported, and "
            "nothing else",
            logger="current",
            level=logging.INFO,
        )
    return finish(lowered, model, classes, images, method, info, on_image)


def finish(
    lowered: Lowered,
    model: nn.Module,
    classes: Sequence[str],
    images: Iterable[tuple[str, Array]],
    method: str = "mse",
    info: Mapping[str, Any] | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Artifact:
    """Calibrates what was lowered; the rest as :func:`export_detector`."""
    names = lowered.classes or tuple(classes)
    program = calibrate(
        lowered.program, lowered.weights, images, method, lowered.activations, on_image
    )
    check_artifact(program, lowered.weights, names)
    quantization = _describe(model, lowered)
    return Artifact(program, lowered.weights, names, {**(info or {}), "quantization": quantization})


def _describe(model: nn.Module, lowered: Lowered) -> dict[str, Any]:
    """How each layer was quantized, and what the engines' integers change about it."""
    uniform = [name for name, weight in lowered.weights.items() if weight.code == "uniform"]
    dropped = {name: weight.integers().dropped for name, weight in lowered.weights.items()}
    dropped = {name: count for name, count in dropped.items() if count}
    if uniform:
        print_log(
            f"{len(uniform)} of {len(lowered.weights)} layers are float in training; they are "
            f"stored in 8 bits, with a scale per channel: {', '.join(uniform[:SHOWN_LAYERS])}"
            f"{', ...' if len(uniform) > SHOWN_LAYERS else ''}",
            logger="current",
            level=logging.INFO,
        )
    return {
        "trained": describe_quantization(model),
        "uniform_layers": uniform,
        "trained_activations": sorted(lowered.activations),
        "weights_below_window": dropped,
    }
