"""A detector at low bits from images alone: what ``lbwdet quantize --post-training`` does."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from lbwdet import __version__
from lbwdet.bit_plan.image_inputs import detect, read_input
from lbwdet.bit_plan.low_bit_start import low_bit_settings, write_projected
from lbwdet.bit_plan.quantized_config import CONFIG_NAME, write_quantized_config
from lbwdet.checkpoints import read_checkpoint
from lbwdet.configs import load_config
from lbwdet.datasets.classes import dataset_classes
from lbwdet.errors import CheckpointError, LBWError
from lbwdet.files import write_json
from lbwdet.layers import describe_quantization, quantize_
from lbwdet.measuring.calibration_images import calibration_images, note_images, usable_images
from lbwdet.measuring.detectors import build_detector, test_dataset
from lbwdet.measuring.model_map import ModelMap
from lbwdet.posttraining import (
    LayerResult,
    PostTraining,
    Refinement,
    State,
    markdown,
    post_train,
    rows,
    write_detector,
    write_state,
)
from lbwdet.progress import Progress
from lbwdet.terminal import printable


@dataclass(frozen=True)
class PostTrained:
    """What was written, and what there is to say of it.

    Attributes:
        config, checkpoint: the files.
        images: number of images used.
        layers: what became of each.
        map_11point: of ``float``, ``nearest`` and ``data-aware``, 0..1; None without labels,
            empty if it was not asked for.
        left_out: images that cannot be used, and why.
        reused: whether it had been done before.
    """

    config: Path
    checkpoint: Path
    images: int
    layers: list[LayerResult]
    map_11point: dict[str, float] | None
    reused: bool
    left_out: tuple[str, ...] = ()

    def text(self) -> str:
        lines = [markdown(self.layers), ""]
        if self.map_11point is None:
            lines.append("mAP was not measured: there are no labelled test images")
        elif self.map_11point:
            found = ", ".join(f"{value:.3f} {name}" for name, value in self.map_11point.items())
            lines.append(f"mAP (11-point, IoU 0.5) without training: {found}")
        again = ", from an earlier run" if self.reused else ""
        lines.append(f"{self.config}, {self.checkpoint}: {self.images} images{again}")
        lines += [f"left out: {printable(reason)}" for reason in self.left_out]
        return "\n".join(lines)


def post_train_detector(
    config: str | Path,
    checkpoint: str | Path,
    source: str,
    out_dir: str | Path,
    weight: Mapping[str, Any],
    num: int = 64,
    keep_float: Sequence[str] = (),
    refine_steps: int = 0,
    from_low_bit: bool = False,
    measure: bool = True,
    num_images: int | None = None,
    data_root: str | None = None,
    activation: Mapping[str, Any] | None = None,
    settings: PostTraining | None = None,
) -> PostTrained:
    """Writes ``out_dir``/``config.py`` and ``out_dir``/``post_trained.pth``.

    An interrupted call goes on where it stopped (its refinement starts anew), and one that
    was finished is not repeated, as long as nothing changed that decides the result.

    Args:
        config, checkpoint: of the float detector.
        source: ``'train'``, ``'val'`` or ``'test'`` for images of the config's data set,
            or an image or a folder of images. Labels are not looked at.
        out_dir: for what is written.
        weight, keep_float: as :func:`lbwdet.layers.quantize_` takes them.
        num: number of images, taken evenly from all there are.
        refine_steps: of the refinement by gradient; 0: none.
        from_low_bit: the checkpoint may hold low-bit weights, whose levels then are what is aimed
            at; they are written to ``out_dir``/``start.pth``.
        measure: mAP of the float, the nearest and the data-aware weights, if there are labels.
        num_images: only the first test images for it.
        data_root: overrides the data root of the config.
        activation: as :func:`lbwdet.layers.quantize_` takes it; calibrated on the same images, and
            weights are chosen for what layers then read.
        settings: of the post-training; its refinement is ``refine_steps``' matter.

    Raises:
        ConfigError, DataError, CheckpointError: with a message for the user.
    """
    out_dir = Path(out_dir)
    cfg = load_config(config, data_root=data_root)
    state, meta = read_checkpoint(checkpoint)
    paths, left_out = usable_images(cfg, calibration_images(cfg, source, num))
    if settings_of_weights := low_bit_settings(meta):
        if not from_low_bit:
            raise CheckpointError(
                f"{checkpoint}: holds low-bit weights already; name the float checkpoint, or take "
                "the levels of these for the float weights by --from-low-bit"
            )
        write_projected(cfg, checkpoint, state, settings_of_weights, start := out_dir / "start.pth")
        checkpoint, (state, _) = start, read_checkpoint(start)
    low_bit, written = out_dir / CONFIG_NAME, out_dir / "post_trained.pth"
    quant: dict[str, Any] = dict(weight=weight, keep_float=keep_float, activation=activation)
    write_quantized_config(config, low_bit, checkpoint=checkpoint, load_from=written, **quant)
    settings = dataclasses.replace(
        settings or PostTraining(),
        refinement=Refinement(steps=refine_steps) if refine_steps else None,
    )
    key = _key(cfg, state, paths, dict(weight), list(keep_float), activation, settings)
    told = out_dir / "post_training.json"
    found = _finished(told, written, key)
    low_cfg = load_config(low_bit)
    known = _Scores()
    if found is None:
        for old in (told, written):  # of other weights than those to come
            old.unlink(missing_ok=True)
        run = State(out_dir / "state.pth", key)
        layers = _run(
            cfg, quant, checkpoint, paths, run, settings, written, note_images(source, num)
        )
    else:
        layers, known = found
        _note_anew(written, note_images(source, num))

    def tell() -> None:
        write_json(told, dict(key=key, images=len(paths), layers=rows(layers)) | vars(known))

    tell()  # before mAP is measured, which may take longer, and be interrupted
    scores: dict[str, float] | None = {}
    if measure:
        known = _measured(cfg, low_cfg, quant, checkpoint, written, num_images, known)
        scores = known.map_11point
        tell()
    reused = found is not None
    return PostTrained(low_bit, written, len(paths), layers, scores, reused, tuple(left_out))


@dataclass(frozen=True)
class _Scores:
    """mAP of ``float``, ``nearest`` and ``data-aware``, and the digest of the images it is of."""

    map_11point: dict[str, float] | None = None
    measured_on: str | None = None


def _run(
    cfg: Config,
    quant: Mapping[str, Any],
    checkpoint: str | Path,
    paths: Sequence[Path],
    state: State,
    settings: PostTraining,
    written: Path,
    note: Mapping[str, Any],
) -> list[LayerResult]:
    model: Any = quantize_(build_detector(cfg, checkpoint), **quant).eval()
    floating = build_detector(cfg, checkpoint)
    state.resume(model)
    inputs = [read_input(cfg, path) for path in paths]
    with _Stages(settings) as stages:

        def on_module(name: str, index: int, number: int, layer: LayerResult | None) -> None:
            state.note(model, name, layer, last=index == number)
            stages.module(index, number)

        result = post_train(
            model, inputs, detect, settings, floating, list(state.done), on_module, stages.step
        )
    known = {layer.name: layer for layer in [*state.layers, *result.layers]}
    classes = model.dataset_meta["classes"]
    write_detector(written, model, classes, quant=describe_quantization(model), **note)
    state.remove()
    return list(known.values())


class _Stages:
    """Progress of the layers, then of the refinement."""

    def __init__(self, settings: PostTraining) -> None:
        self._settings = settings
        self._progress: Progress | None = None

    def __enter__(self) -> "_Stages":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._progress is not None:
            self._progress.__exit__(*error)

    def module(self, index: int, number: int) -> None:
        if self._progress is None:
            self._progress = Progress("project", number)
            self._progress.done = index - 1
        self._progress.step()

    def step(self, step: int, loss: float) -> None:
        assert self._settings.refinement is not None
        if step == 0:
            self.__exit__(None, None, None)
            self._progress = Progress("refine", self._settings.refinement.steps)
        if self._progress is not None:
            self._progress.step()


def _key(cfg: Config, state: Mapping[str, torch.Tensor], paths: Sequence[Path], *rest: Any) -> str:
    """Digest of all that decides the result, and of the names of classes."""
    digest = hashlib.sha256(repr((__version__, torch.__version__, cfg.get("model"), rest)).encode())
    dataset = test_dataset(cfg)
    classes = dataset_classes(dataset, str(cfg.filename))
    digest.update(repr((dataset["pipeline"], classes)).encode())
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _finished(told: Path, written: Path, key: str) -> tuple[list[LayerResult], _Scores] | None:
    """What an earlier run with the same key reported, if report and checkpoint are whole."""
    try:
        report = json.loads(told.read_text(encoding="utf-8"))
        if report["key"] != key:
            return None
        layers = [LayerResult(**layer) for layer in report["layers"]]
        markdown(layers)  # finds what are no numbers
        values = report["map_11point"] or {}
        scores = _Scores(
            {str(name): float(value) for name, value in values.items()} or None,
            report.get("measured_on"),
        )
        read_checkpoint(written)
    except (OSError, CheckpointError, LookupError, AttributeError, TypeError, ValueError):
        return None
    return layers, scores


def _note_anew(written: Path, note: Mapping[str, Any]) -> None:
    """The same images may be elsewhere by now."""
    state, meta = read_checkpoint(written)
    if {**meta["lbwdet"], **note} != meta["lbwdet"]:
        meta["lbwdet"] = {**meta["lbwdet"], **note}
        write_state(written, state, meta)


def _measured(
    cfg: Config,
    low_cfg: Config,
    quant: Mapping[str, Any],
    checkpoint: str | Path,
    written: Path,
    num_images: int | None,
    known: _Scores,
) -> _Scores:
    """``known``, if it is of the same images."""
    try:
        measure = ModelMap(cfg, num_images)
    except LBWError:
        return _Scores()
    if known.map_11point and known.measured_on == measure.digest:
        return known
    nearest: Any = quantize_(build_detector(cfg, checkpoint), **{**quant, "activation": None})
    scores = {
        "float": measure(build_detector(cfg, checkpoint), "float"),
        "nearest": measure(nearest.eval(), "nearest"),
        "data-aware": measure(build_detector(low_cfg, written), "data-aware"),
    }
    return _Scores(scores, measure.digest)
