"""Batch norms of a trained low-bit detector once more: ``lbwdet quantize --norms-only``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lbwdet.bit_plan.image_inputs import detect, read_input
from lbwdet.bit_plan.quantized_config import CONFIG_NAME, config_text, own_training
from lbwdet.configs import load_config
from lbwdet.errors import ConfigError, LBWError
from lbwdet.files import write_text
from lbwdet.layers import describe_quantization, quantized_layers
from lbwdet.measuring.calibration_images import calibration_images, note_images
from lbwdet.measuring.detectors import build_detector
from lbwdet.measuring.model_map import ModelMap
from lbwdet.posttraining import estimate_norms, write_detector
from lbwdet.progress import Progress


@dataclass(frozen=True)
class EstimatedNorms:
    """What was written, the number of norms and images, and mAP before and after in 0..1."""

    config: Path
    checkpoint: Path
    norms: int
    images: int
    map_11point: tuple[float, float] | None

    def text(self) -> str:
        lines = [f"{self.norms} batch norms estimated on {self.images} images"]
        if self.map_11point is None:
            lines.append("mAP was not measured: there are no labelled test images")
        else:
            before, after = self.map_11point
            lines.append(f"mAP (11-point, IoU 0.5): {before:.3f} before, {after:.3f} after")
        return "\n".join([*lines, f"{self.config}, {self.checkpoint}"])


def estimate_detector_norms(
    config: str | Path,
    checkpoint: str | Path,
    source: str,
    out_dir: str | Path,
    num: int = 64,
    measure: bool = True,
    num_images: int | None = None,
    data_root: str | None = None,
) -> EstimatedNorms:
    """Writes ``out_dir``/``config.py`` and ``out_dir``/``post_trained.pth`` for a low-bit detector.

    Weights become the levels that their quantizer has for them, statistics those of these images.

    Args:
        config: a low-bit config.
        checkpoint: trained by it. Of a training with averaged weights (EMA) these are what counts.
        source, num: images, as :func:`~lbwdet.measuring.calibration_images` takes them.
        measure: mAP before and after, if there are labels.
        num_images: only the first test images for it.
        data_root: overrides the data root of the config.

    Raises:
        ConfigError: the config is a float one, or has no batch norm.
        DataError, CheckpointError: with a message for the user.
    """
    out_dir = Path(out_dir)
    cfg = load_config(config, data_root=data_root)
    paths = calibration_images(cfg, source, num)
    model: Any = build_detector(cfg, checkpoint)
    if not (quant := describe_quantization(model)):
        raise ConfigError(
            f"{config}: is a float config; --norms-only is for low-bit ones that were trained"
        )
    try:
        measured = ModelMap(cfg, num_images) if measure else None
    except LBWError:
        measured = None
    before = measured(model, "before") if measured is not None else None
    inputs = [read_input(cfg, path) for path in paths]
    for layer in quantized_layers(model).values():
        layer.weight.data.copy_(layer.fake_quantized_weight().detach())
    with Progress("norms", total=0) as progress:

        def on_norm(name: str, index: int, number: int) -> None:
            progress.total = number
            progress.step()

        norms = estimate_norms(model.eval(), inputs, detect, on_norm)
    if not norms:
        raise ConfigError(f"{config}: has no batch norm whose statistics could be estimated")
    written, told = out_dir / "post_trained.pth", out_dir / CONFIG_NAME
    classes = model.dataset_meta["classes"]
    write_detector(written, model, classes, quant=quant, **note_images(source, num))
    of_float = load_config(config)
    changes = own_training(of_float, told, written)
    write_text(told, config_text(of_float, config, told, changes))
    scores = None
    if measured is not None and before is not None:
        scores = before, measured(build_detector(cfg, written), "after")
    return EstimatedNorms(told, written, len(norms), len(paths), scores)
