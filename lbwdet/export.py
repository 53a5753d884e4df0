"""``lbwdet export``: from a config and a checkpoint to an artifact file."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmdet
import torch

from lbwdet import __version__
from lbwdet.checkpoints import LISTED_KEYS
from lbwdet.configs import SPLITS, Overrides, load_config
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.export import export_detector
from lbwdet.deploy.lower import lower
from lbwdet.deploy.runtime.artifact import Artifact
from lbwdet.deploy.runtime.detector import Detector
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.errors import DataError, LBWError
from lbwdet.files import check_new_file
from lbwdet.layers import input_quantizers
from lbwdet.measuring.agreement import LITTLE, Agreement, agreement
from lbwdet.measuring.calibration_images import calibration_images, noted_images, usable_images
from lbwdet.measuring.candidates import ArrayDetector, Detections
from lbwdet.measuring.detectors import build_detector, test_dataset
from lbwdet.progress import Progress
from lbwdet.terminal import printable
from lbwdet.training.build import build_model

IMAGES = 64  # to calibrate on
COMPARED = 16  # of these, on which the artifact is tried


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        file_bytes: of the file.
        layers: their number.
        info: the artifact's.
        agreement: of its boxes with the detector's on some of the images, where the native engine
            runs and the detector finds boxes.
        float_activations: whether nothing but the export has quantized them.
    """

    file_bytes: int
    layers: int
    info: dict[str, Any]
    agreement: Agreement | None = None
    float_activations: bool = False

    def summary(self) -> str:
        """One line for each thing worth knowing."""
        quantization = self.info["quantization"]
        lines = [f"{self.layers} layers, {self.file_bytes:,} bytes"]
        if uniform := quantization["uniform_layers"]:
            more = ", ..." if len(uniform) > LISTED_KEYS else ""
            shown = ", ".join(uniform[:LISTED_KEYS])
            lines.append(f"float in training, stored in 8 bits: {len(uniform)} ({shown}{more})")
        if dropped := quantization["weights_below_window"]:
            lines.append(
                f"weights too small for the engines' integers: {sum(dropped.values()):,}, "
                f"in {len(dropped)} layers"
            )
        lines += [f"left out: {reason}" for reason in self.info["calibration"]["left_out"]]
        if self.agreement is not None and self.agreement.boxes:
            lines.append(self._compared(self.agreement))
        return printable("\n".join(lines), lines=True)

    def _compared(self, found: Agreement) -> str:
        told = f"of the boxes of model and artifact, {found.share:.0%} are common to both"
        if found.share >= LITTLE:
            return told
        remedy = (
            "steps for each channel may keep more: lbwdet quantize --post-training ... "
            "--activations channel, or train with activation=dict(bit_width=8, "
            "granularity='channel')"
            if self.float_activations
            else "calibrate on more images, or on such as it will see (--calibrate)"
        )
        return f"{told}: 8-bit activations cost this detector accuracy; {remedy}"


@dataclass(frozen=True)
class ExportSettings(Overrides):
    """How a detector becomes an artifact.

    Attributes:
        calibrate: ``'train'``, ``'val'`` or ``'test'`` for images of the config's data set,
            or else an image or a folder of images. None for the images by which
            ``lbwdet quantize --post-training`` made the checkpoint.
        num: number of images, taken evenly from all there are; None for 64, or as many as
            the checkpoint was made by.
        method: ``'mse'``, ``'percentile'`` or ``'minmax'``.
        entropy_coding: smaller file, slower to load.
        boxes_only: leave masks out.
    """

    calibrate: str | None = None
    num: int | None = None
    method: str = "mse"
    entropy_coding: bool = False
    boxes_only: bool = False


def export(
    config: str | Path, checkpoint: str | Path, out: str | Path, settings: ExportSettings
) -> Exported:
    """Lowers a trained detector, calibrates it and writes the artifact.

    Args:
        config, checkpoint: of the trained detector.
        out: the artifact's file, customarily ``*.lbw``.
        settings: on which images it is calibrated, and how it is written.

    Raises:
        LBWError: with a message for the user; nothing is written.
    """
    check_new_file(out, config, checkpoint)
    method, cfg = settings.method, settings.load_config(config)
    calibrate, num = settings.calibrate, settings.num
    if calibrate is None:
        calibrate, noted = noted_images(checkpoint)
        num = num or noted
        if calibrate not in SPLITS and not Path(calibrate).exists():
            raise DataError(
                f"{checkpoint}: was made by the images in {calibrate}, which are not there any "
                "more; name some for the ranges of activations: --calibrate FOLDER"
            )
    chosen = calibration_images(cfg, calibrate, IMAGES if num is None else num)
    loader = ImageLoader.of(test_dataset(cfg)["pipeline"])
    loader.check_deployable()
    paths, left_out = usable_images(cfg, chosen)
    model: Any = build_detector(cfg, checkpoint)
    info = dict(
        versions=dict(lbwdet=__version__, torch=torch.__version__, mmdet=mmdet.__version__),
        config=dict(name=Path(config).name, sha256=_digest(cfg.pretty_text.encode())),
        checkpoint=dict(name=Path(checkpoint).name, sha256=_file_digest(checkpoint)),
        calibration=dict(
            method=method,
            source=calibrate if calibrate in SPLITS else Path(calibrate).name,
            images=[path.name for path in paths],
            left_out=left_out,
            sha256=_digest(*(path.read_bytes() for path in paths)),
        ),
    )
    float_activations = not input_quantizers(model)
    tried = paths[:: max(1, len(paths) // COMPARED)][:COMPARED]
    images = [loader(path) for path in tried]
    origin = _found(ArrayDetector(cfg, model), images) if library_path() else None
    with Progress("calibrate", len(paths)) as progress:
        artifact = export_detector(
            model,
            test_dataset(cfg)["pipeline"],
            _names(model),
            ((path.name, loader(path)) for path in paths),
            method,
            info,
            progress.step,
            settings.boxes_only,
        )
    file_bytes = write_artifact(out, artifact, settings.entropy_coding)
    common = None if origin is None else _compare(artifact, images, origin)
    return Exported(file_bytes, len(artifact.weights), artifact.info, common, float_activations)


def _found(detector: ArrayDetector, images: Sequence[Any]) -> list[Detections] | None:
    """None of detectors whose result is something else than boxes."""
    try:
        return [detector.detect(image) for image in images]
    except DataError:
        return None


def _compare(
    artifact: Artifact, images: Sequence[Any], origin: Sequence[Detections]
) -> Agreement | None:
    """None where the engine refuses an image, as for want of memory: the file is written all the
    same."""
    try:
        detector = Detector(artifact)
        found = [detector(image) for image in images]
    except LBWError:
        return None
    deployed = [Detections(each.boxes, each.scores, each.labels) for each in found]
    return agreement(deployed, origin, len(artifact.classes))


def _names(model: Any) -> Sequence[str]:
    """Of what is found; of panoptic segmentors, whose things come before all else, the things."""
    names: Sequence[str] = model.dataset_meta["classes"]
    return names[: getattr(model, "num_things_classes", None)]


def deployability(config: str | Path, checkpoint: str | Path | None = None) -> str:
    """One sentence: whether what a config trains can be exported, or what stands in the way.

    With the checkpoint that is there already, the command that exports it.

    Lowers the config's model once, with random weights. Raises nothing.
    """
    try:
        cfg = load_config(config)
        pipeline = test_dataset(cfg)["pipeline"]
        ImageLoader.of(pipeline).check_deployable()
        model = build_model(cfg)
        model.eval()  # which of some detectors returns nothing
        for quantizer in input_quantizers(model).values():
            quantizer.calibrated.fill_(1.0)  # training will
        lower(model, pipeline)
    except LBWError as error:
        return printable(f"Trains, but cannot be deployed yet: {error}")
    except Exception as error:  # a model of any class
        name = type(error).__name__
        return printable(f"Trains; whether it can be deployed was not found out: {name}: {error}")
    if checkpoint is not None:
        return printable(f"Deploy it: lbwdet export {config} {checkpoint} --out MODEL.lbw")
    return "Can be deployed, once it is trained: lbwdet export"


def _file_digest(checkpoint: str | Path) -> str | None:
    """Of a file; what a URL brings is not kept here."""
    return None if "://" in str(checkpoint) else _digest(Path(checkpoint).read_bytes())


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()
