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
from lbwdet.errors import LBWError
from lbwdet.layers import input_quantizers
from lbwdet.measuring.calibration_images import calibration_images, noted_images, usable_images
from lbwdet.measuring.detectors import build_detector, test_dataset
from lbwdet.progress import Progress
from lbwdet.terminal import printable
from lbwdet.training.build import build_model

IMAGES = 64  # to calibrate on


@dataclass(frozen=True)
class Exported:
    """What was written: bytes of the file, number of layers, and the artifact's ``info``."""

    file_bytes: int
    layers: int
    info: dict[str, Any]

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
        return printable("\n".join(lines), lines=True)


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
    method, cfg = settings.method, settings.load_config(config)
    calibrate, num = settings.calibrate, settings.num
    if calibrate is None:
        calibrate, noted = noted_images(checkpoint)
        num = num or noted
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
    return Exported(file_bytes, len(artifact.weights), artifact.info)


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
