"""One model on random weights at four bits: lowered, run by both engines, held against PyTorch."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.roi_heads.mask_heads import fcn_mask_head
from numpy.typing import NDArray
from torch import Tensor

from lbwdet.compat.ssd import complete_ssd
from lbwdet.deploy.calibration.convolution import convolve
from lbwdet.deploy.calibration.histogram import real
from lbwdet.deploy.export import finish
from lbwdet.deploy.lower import Lowered, head_of, lower
from lbwdet.deploy.lower.preprocess import read_preprocess
from lbwdet.deploy.lower.wrapped import detector_in
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.native import NativeEngine
from lbwdet.deploy.runtime.operations.best_pixels import BestPixels
from lbwdet.deploy.runtime.operations.detections import Detections
from lbwdet.deploy.runtime.operations.distinct_pixels import DistinctPixels
from lbwdet.deploy.runtime.reference_engine import ReferenceEngine, run_program
from lbwdet.deploy.testing import random_image
from lbwdet.errors import LBWError
from lbwdet.layers import quantize_
from lbwdet.studies.zoo.agreement import map_error, match
from lbwdet.studies.zoo.isolated import Report
from lbwdet.studies.zoo.lively import make_lively
from lbwdet.studies.zoo.selection import Selected
from lbwdet.studies.zoo.substitution import places_of, substituted
from lbwdet.studies.zoo.trial import WEIGHT, build, reason

Array = NDArray[Any]

MASK_PARTS = ("mask_head", "mask_embed")  # in the names of modules that find masks
CHOICES = (BestPixels, DistinctPixels)
LARGEST_ERROR = 0.5  # of maps; a part that is left out makes about 1
LARGEST_REAL_ERROR = 1e-3  # without any rounding but that of float32


def try_lowering(subject: Mapping[str, Any], report: Report) -> None:
    """Builds and lowers a model; nothing is calibrated or run.

    Args:
        subject: ``model`` and ``pipeline``, see :func:`~lbwdet.studies.zoo.shipped.load_deployed`.
        report: called with ``doing`` and what comes next, ``masks`` (whether they are lowered,
            too; None: the model has none), and ``reason``: one sentence, or None.
    """
    with _telling(report):
        report("doing", "build")
        model: Any = quantize_(build(subject["model"]), weight=WEIGHT)
        model.eval()  # which of some detectors returns nothing
        report("doing", "lower")
        report("masks", _with_masks(model, lower(model, subject["pipeline"])))


def try_deployment(subject: Mapping[str, Any], report: Report) -> None:
    """Builds and exports a model, runs both engines, and compares them with PyTorch.

    Args:
        subject: as :func:`try_lowering`.
        report: gets also ``real_error``, ``map_error``, ``matched`` and ``score_difference``, see
            :mod:`.agreement`.
    """
    with _telling(report), _masks_beside_the_image():
        report("doing", "build")
        settings = subject["model"].get("data_preprocessor", {})
        model: Any = _alone(build(subject["model"]), settings)
        complete_ssd(model)
        model.eval()
        pipeline = subject["pipeline"]
        report("doing", "lower")  # what is refused without tracing is refused before anything runs
        head_of(model)(model)
        read_preprocess(pipeline, model.data_preprocessor)
        report("doing", "calibrate")
        image = _image(pipeline)
        batch = _batch(image, pipeline)
        make_lively(model, lambda: model.test_step(batch))
        quantize_(model, weight=WEIGHT)
        make_lively(model, lambda: model.test_step(batch), scaled=False)
        report("doing", "lower")
        lowered = lower(model, pipeline)
        report("masks", _with_masks(model, lowered))
        report("doing", "export")
        # The finest method takes as long as all the rest, and is tested elsewhere.
        images = [("random image", image)]
        artifact = finish(lowered, model, _classes(lowered), images, method="minmax")
        report("doing", "run")
        chosen = [o.written for o in lowered.program.operations if isinstance(o, CHOICES)]
        values, found = _run(artifact, (*lowered.maps, *chosen), image)
        report("doing", "compare")
        reals = _in_reals(lowered, (*lowered.maps, *chosen), image)
        real_error, error, expected = _compare(model, batch, reals, values, len(lowered.maps))
        matched, difference = match(found, expected)
        report("real_error", real_error)
        report("map_error", error)
        report("matched", matched)
        report("score_difference", difference)
        if not real_error < LARGEST_REAL_ERROR:
            raise LBWError(
                f"in reals, the program's maps are {real_error:.2%} away from those of the "
                "fake-quantized detector"
            )
        if not error < LARGEST_ERROR:
            raise LBWError(
                f"the engine's maps are {error:.0%} away from those of the fake-quantized detector"
            )


def _alone(model: Any, settings: Mapping[str, Any]) -> Any:
    """The detector inside of more than one, with a data preprocessor of its own.

    Args:
        model: a detector, a tracker, or a semi-supervised model.
        settings: of its data preprocessor.
    """
    detector, _ = detector_in(model)
    if detector is not model:
        plain = settings.get("data_preprocessor", settings)  # that of several branches
        others = ("type", "use_det_processor")
        detector.data_preprocessor = DetDataPreprocessor(
            **{key: value for key, value in plain.items() if key not in others}
        )
    return detector


@contextlib.contextmanager
def _masks_beside_the_image() -> Iterator[None]:
    """Inside the block, masks of boxes beside the image are empty; MMDetection 3.3 fails at them.

    Random weights lead to such boxes where none is clipped. All pixels are looked at in the place
    of those of the box, of which there are less than none.
    """
    paste = fcn_mask_head._do_paste_mask

    def of_all_pixels(masks: Tensor, boxes: Tensor, height: int, width: int, **_: Any) -> Any:
        return paste(masks, boxes, height, width, skip_empty=False)

    fcn_mask_head._do_paste_mask = of_all_pixels
    try:
        yield
    finally:
        fcn_mask_head._do_paste_mask = paste


@contextlib.contextmanager
def _telling(report: Report) -> Iterator[None]:
    """Whatever is raised inside is reported as ``reason``; if nothing is, None."""
    try:
        yield
    except LBWError as error:
        report("reason", str(error))
    except Exception as error:  # the config names any class; whatever it does
        report("reason", f"not refused in a sentence: {reason(error)}")
    else:
        report("reason", None)


def _with_masks(model: Any, lowered: Lowered) -> bool | None:
    """Whether masks are part of the program; None of a detector without."""
    if not any(part in name for name, _ in model.named_modules() for part in MASK_PARTS):
        return None
    kinds = {type(operation).__name__ for operation in lowered.program.operations}
    return any("mask" in kind.lower() for kind in kinds)


def _classes(lowered: Lowered) -> list[str]:
    last = lowered.program.operations[-1]
    assert isinstance(last, Detections)
    return [f"class{index}" for index in range(last.num_classes)]


def _image(pipeline: Sequence[Mapping[str, Any]]) -> Array:
    """A bit smaller than what the pipeline resizes to."""
    (width, height), *_ = (step["scale"] for step in pipeline if "scale" in step)
    return random_image(0, 7 * height // 8, 15 * width // 16)


def _batch(image: Array, pipeline: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a data loader would give to ``test_step``."""
    changes = [step for step in pipeline if not step["type"].startswith(("Load", "Pack"))]
    steps = [dict(type="LoadImageFromNDArray"), *changes, dict(type="PackDetInputs")]
    data = Compose(steps)(dict(img=image, img_id=0))
    return dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]])


def _run(
    artifact: Artifact, names: Sequence[str], image: Array
) -> tuple[list[Array], tuple[Array, Array, Array]]:
    """Some values in reals, and the detections, of both engines.

    Raises:
        LBWError: the engines differ in some byte of these, or of masks.
    """
    native = NativeEngine(artifact, threads=1)
    values, found = native.values(image, names), native.instances(image)
    other_values, other_found = ReferenceEngine(artifact).run(image)
    for name in names:
        if values[name].tobytes() != other_values[name].tobytes():
            raise LBWError(f"native and reference engine differ in {name}")
    if not _are_same(found, other_found):
        raise LBWError("native and reference engine differ in their detections")
    reals = values | {
        name: real(values[name], quantization)
        for name, quantization in artifact.program.quantizations.items()
        if name in values
    }
    boxes, scores, labels = found[:3]
    return [reals[name].astype(np.float32) for name in names], (boxes, scores, labels)


def _are_same(one: Any, two: Any) -> bool:
    """Of arrays, or of tuples of them: every byte."""
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(_are_same, one, two))
    return bool(one.tobytes() == two.tobytes())


def _in_reals(lowered: Lowered, names: Sequence[str], image: Array) -> list[Array]:
    """Some values without quantized activations, and with what training leaves float."""
    values, _ = run_program(lowered.program, lowered.numbers(), image, convolve=convolve)
    return [values[name] for name in names]


@torch.no_grad()
def _compare(
    model: Any,
    batch: dict[str, Any],
    reals: Sequence[Array],
    values: Sequence[Array],
    maps: int,
) -> tuple[float, float, tuple[Array, Array, Array]]:
    """How far two programs' maps are from the model's, and what it makes of the second one's.

    Behind the first ``maps`` of the values are the numbers of the pixels that become queries: the
    model gets each program's, and how good those are in reals is compared, too.
    """
    inputs: Tensor = model.data_preprocessor(batch)["inputs"]
    tensors: list[Tensor] = []

    def dense() -> list[Tensor]:
        tensors[:] = head_of(model).dense(model, inputs)
        return tensors

    with Selected(reals[maps:]) as choice:
        dense()
    exact = [_like(real, tensor).numpy() for real, tensor in zip(reals, tensors, strict=False)]
    expected = [tensor.numpy() for tensor in tensors]
    real_error = map_error(exact + choice.found, expected + choice.expected)
    with Selected(values[maps:]):
        places = places_of(model, dense)
    ours = [_like(value, tensor) for value, tensor in zip(values, tensors, strict=False)]
    error = map_error([t.numpy() for t in ours], [t.numpy() for t in tensors])
    with substituted(model, places, ours), Selected(values[maps:]):
        found = model.test_step(batch)[0].pred_instances
    return real_error, error, (found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy())


def _like(values: Array, tensor: Tensor) -> Tensor:
    """The engine's values, channels last, in the order and shape of PyTorch's."""
    planes = torch.from_numpy(values).permute(0, 3, 1, 2).contiguous()
    return (
        planes if planes.shape == tensor.shape else torch.from_numpy(values).reshape(tensor.shape)
    )
