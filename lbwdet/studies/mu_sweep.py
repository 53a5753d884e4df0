"""The search for the threshold solver's free parameter: error and mAP against mu.

The paper (arXiv 1612.06052) determines mu by retraining and detection tests. So is
done here, with the exact solver, which has no parameter, as the reference.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from lbwdet.configs import Overrides
from lbwdet.errors import ConfigError
from lbwdet.files import write_bytes, write_json, write_text
from lbwdet.layers import quantized_layers
from lbwdet.measuring.accuracy import evaluate
from lbwdet.measuring.cache import Cache
from lbwdet.measuring.candidates import TorchCandidate
from lbwdet.measuring.environment import available_cpus, commit, cpu_name
from lbwdet.measuring.speed import pinned_threads
from lbwdet.measuring.testset import load_test_set
from lbwdet.quantizers import build_quantizer, relative_error
from lbwdet.studies.mu_sweep_report import markdown, plot
from lbwdet.studies.weight_settings import with_weight_settings
from lbwdet.training.jobs import TrainingJob

BIT_WIDTHS = (3, 4, 5, 6)
MUS = (0.03, 0.06, 0.125, 0.1875, 0.25, 0.375, 0.5, 0.75, 1.0)


@dataclasses.dataclass(frozen=True)
class SweepSettings(Overrides):
    """Which points are measured, and how.

    Attributes:
        bit_widths, code: what to look at, see :mod:`lbwdet.quantizers.levels`.
        mus: values of mu, as fractions of the largest magnitude of a layer.
        retrain: epochs of training from the checkpoint at each point, by the config's
            optimizer with a cosine down to zero; 0 for none.
        learning_rate: of the retraining; None: that of the config.
        num_images: only the first of the test images.
        threads: CPU threads; None: all.

    Raises:
        ConfigError: nothing to sweep, or a setting out of range.
    """

    bit_widths: Sequence[int] = BIT_WIDTHS
    mus: Sequence[float] = MUS
    code: str = "paper"
    retrain: int = 0
    learning_rate: float | None = None
    num_images: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if not self.bit_widths or not self.mus:
            raise ConfigError("nothing to sweep: give at least one bit width and one mu")
        if self.retrain < 0:
            raise ConfigError(f"retrain={self.retrain}: give 0 (none) or a number of epochs")
        rate = self.learning_rate
        if rate is not None and not (self.retrain and 0 < rate < float("inf")):
            raise ConfigError(
                f"learning rate {rate:g}: a positive number, and of use with --retrain only"
            )

    @property
    def weights(self) -> Iterator[dict[str, Any]]:
        """Arguments of ``build_quantizer``, by bit width and mu, the exact solver last."""
        for bit_width in sorted(set(self.bit_widths)):
            for mu in sorted(set(self.mus)):
                yield dict(bit_width=bit_width, code=self.code, solver="threshold", mu=mu)
            yield dict(bit_width=bit_width, code=self.code, solver="exact")


def sweep_mu(
    config: str | Path,
    checkpoint: str | Path,
    out_dir: str | Path,
    settings: SweepSettings,
) -> dict[str, Any]:
    """Measures every bit width at every mu, and with the exact solver.

    Detections and retrained checkpoints that an earlier call left in ``out_dir`` are
    reused; an interrupted training goes on. ``sweep_mu.json`` is rewritten after each
    point, so that it always holds what is finished.

    Args:
        config: a detector config, float or quantized; its weight settings are replaced.
        checkpoint: trained weights that fit it, usually of the float model.
        out_dir: gets ``sweep_mu.json``, ``sweep_mu.md``, ``sweep_mu.png`` and ``retrained/``.
        settings: which points, and how they are measured.

    Returns:
        The content of ``sweep_mu.json``. Its ``error`` is the relative squared error
        ``|W - Q(W)|^2 / |W|^2`` of a layer, averaged over the layers by their numbers of
        weights.

    Raises:
        ConfigError, CheckpointError, DataError: before anything is measured.
    """
    out_dir = Path(out_dir)
    cfg = settings.load_config(config)
    for weight in settings.weights:
        if build_quantizer(**weight) is None:
            raise ConfigError(
                f"bit_width={weight['bit_width']} is float: there is no mu to look for"
            )
    if settings.retrain:
        _check_trainable(cfg)
    threads = available_cpus() if settings.threads is None else settings.threads
    rate = settings.learning_rate
    if settings.retrain and rate is None:
        rate = cfg.optim_wrapper.optimizer.lr
    content: dict[str, Any] = dict(
        study="mu-sweep",
        config=str(config),
        checkpoint=str(checkpoint),
        code=settings.code,
        retrain_epochs=settings.retrain,
        learning_rate=rate,
        commit=commit(),
        cpu=cpu_name(),
        threads=threads,
        rows=[],
    )
    with pinned_threads(threads):
        test_set = load_test_set(cfg, settings.num_images)
        content.update(dataset=test_set.description, num_images=len(test_set))
        cache = Cache(out_dir / "cache")

        def measured(name: str, cfg: Config, checkpoint: str | Path) -> tuple[Any, dict[str, Any]]:
            candidate = TorchCandidate(name, cfg, checkpoint)
            found = cache.detect_all(candidate, test_set)
            return candidate, evaluate(found, test_set.truths, test_set.classes).maps

        # The float model first: whatever is wrong with the checkpoint shows here.
        _, found = measured("float", with_weight_settings(cfg, dict(bit_width=32)), checkpoint)
        content.update(found)
        for weight in settings.weights:
            bit_width, mu = weight["bit_width"], weight.get("mu")
            name = f"{bit_width}bit-" + ("exact" if mu is None else f"mu{mu:g}")
            quantized = with_weight_settings(cfg, weight)
            candidate, found = measured(name, quantized, checkpoint)
            row = dict(bit_width=bit_width, mu=mu, error=weight_error(candidate.model), **found)
            if settings.retrain:
                job = _retraining(name, quantized, checkpoint, out_dir, settings)
                _, found = measured(f"{name} retrained", quantized, job.run(threads))
                row |= {f"retrained_{key}": value for key, value in found.items()}
            content["rows"].append(row)
            write_json(out_dir / "sweep_mu.json", content)
    write_text(out_dir / "sweep_mu.md", markdown(content))
    write_bytes(out_dir / "sweep_mu.png", plot(content))
    return content


@torch.no_grad()
def weight_error(model: nn.Module) -> float:
    """Relative squared error of the quantized layers, averaged by their numbers of weights.

    A layer of zeros alone has no error.
    """
    layers = quantized_layers(model).values()
    lost = sum(
        relative_error(layer.weight, layer.fake_quantized_weight()) * layer.weight.numel()
        for layer in layers
    )
    return lost / sum(layer.weight.numel() for layer in layers)


def _check_trainable(cfg: Config) -> None:
    missing = [key for key in ("train_cfg", "optim_wrapper", "train_dataloader") if key not in cfg]
    if missing or "max_epochs" not in cfg.train_cfg:
        raise ConfigError(
            f"{cfg.filename}: cannot be retrained: a training by epochs needs "
            f"{', '.join(missing) or 'train_cfg.max_epochs'}; leave --retrain out"
        )


def _retraining(
    name: str,
    cfg: Config,
    checkpoint: str | Path,
    out_dir: Path,
    settings: SweepSettings,
) -> TrainingJob:
    """The training of one point, in a folder of its own for exactly these settings."""
    epochs = settings.retrain
    schedule: dict[str, Any] = dict(
        load_from=str(Path(checkpoint).resolve()),
        resume=False,
        param_scheduler=[
            dict(
                type="CosineAnnealingLR",
                by_epoch=True,
                convert_to_iter_based=True,
                begin=0,
                end=epochs,
                T_max=epochs,
            )
        ],
    )
    changed = Config({**cfg.to_dict(), **schedule})
    changed.train_cfg.update(max_epochs=epochs, val_interval=epochs + 1)  # measured here, once
    if settings.learning_rate is not None:
        changed.optim_wrapper.optimizer.lr = settings.learning_rate
    text = changed.dump()
    digest = hashlib.sha256(text.encode() + Path(checkpoint).read_bytes()).hexdigest()[:12]
    folder = out_dir / "retrained" / f"{name}-{digest}"
    write_text(folder / "config.py", text)
    return TrainingJob(str(folder / "config.py"), folder)
