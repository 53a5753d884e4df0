"""``lbwdet export``: from a config and a checkpoint to an artifact file."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmdet
import torch

from lbwdet import __version__
from lbwdet.checkpoints import LISTED_KEYS
from lbwdet.configs import SPLITS, load_config
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.export import export_detector
from lbwdet.measuring.calibration_images import calibration_images, usable_images
from lbwdet.measuring.detectors import build_detector, test_dataset
from lbwdet.progress import Progress
from lbwdet.terminal import printable


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


def export(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    calibrate: str,
    num: int = 64,
    method: str = "mse",
    entropy_coding: bool = False,
    data_root: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    boxes_only: bool = False,
) -> Exported:
    """Lowers a trained detector, calibrates it and writes the artifact.

    Args:
        config, checkpoint: of the trained detector.
        out: the artifact's file, customarily ``*.lbw``.
        calibrate: ``'train'``, ``'val'`` or ``'test'`` for images of the config's data set,
            or else an image or a folder of images.
        num: number of images, taken evenly from all there are.
        method: ``'mse'``, ``'percentile'`` or ``'minmax'``.
        entropy_coding: smaller file, slower to load.
        data_root, cfg_options: as for training.
        boxes_only: leave masks out.

    Raises:
        LBWError: with a message for the user; nothing is written.
    """
    cfg = load_config(config, cfg_options, data_root)
    chosen = calibration_images(cfg, calibrate, num)
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
            model.dataset_meta["classes"],
            ((path.name, loader(path)) for path in paths),
            method,
            info,
            progress.step,
            boxes_only,
        )
    file_bytes = write_artifact(out, artifact, entropy_coding)
    return Exported(file_bytes, len(artifact.weights), artifact.info)


def _file_digest(checkpoint: str | Path) -> str | None:
    """Of a file; what a URL brings is not kept here."""
    return None if "://" in str(checkpoint) else _digest(Path(checkpoint).read_bytes())


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
