"""How much a detector suffers when only one of its layers is quantized."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn.bricks.drop import DropPath
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import set_random_seed
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from lbwdet.datasets.classes import config_classes
from lbwdet.errors import ConfigError, DataError
from lbwdet.layers import QuantLayer, quantized_layers
from lbwdet.measuring.model_map import ModelMap
from lbwdet.measuring.testset import split_dataset
from lbwdet.progress import Progress
from lbwdet.quantizers import WeightQuantizer

BATCH_SIZE = 2
_SEED = 0

Quantizers = Mapping[str, WeightQuantizer | None]


class TrainingLoss:
    """The training loss on some images, always the same ones: a smooth measure of damage.

    Normalisation uses its running statistics and dropout is off, so that nothing is learnt
    and nothing is random but the choice of samples in a head, which is seeded.

    Args:
        cfg: a config with a ``train_dataloader``; its augmentation is applied once.
        num_images: the first images are taken.

    Raises:
        ConfigError: the config trains on nothing, or on other classes than it tests.
        DataError: the data is not there.
    """

    def __init__(self, cfg: Config, num_images: int) -> None:
        dataset = split_dataset(cfg, "train")
        config_classes(cfg, ("train", "test"))
        set_random_seed(_SEED)
        samples = [dataset[index] for index in range(min(num_images, len(dataset)))]
        if not samples:
            raise DataError(f"{cfg.filename}: no training image to take a loss on")
        self.num_images = len(samples)
        self._batches = [
            samples[start : start + BATCH_SIZE] for start in range(0, len(samples), BATCH_SIZE)
        ]

    def __call__(self, model: nn.Module) -> float:
        """Mean over the images."""
        was_training = model.training
        _train_without_learning(model)
        try:
            total = sum(self._loss(model, batch) * len(batch) for batch in self._batches)
        finally:
            model.train(was_training)
        return total / self.num_images

    @torch.no_grad()
    def _loss(self, model: Any, batch: Sequence[Any]) -> float:
        torch.manual_seed(_SEED)
        data = model.data_preprocessor(pseudo_collate(copy.deepcopy(list(batch))), True)
        loss: float = model.parse_losses(model(**data, mode="loss"))[0].item()
        return loss


def build_measure(name: str, cfg: Config, num_images: int) -> TrainingLoss | ModelMap:
    """``'loss'`` on the first training images, or ``'map'`` on the first test images."""
    return TrainingLoss(cfg, num_images) if name == "loss" else ModelMap(cfg, num_images)


def _train_without_learning(model: nn.Module) -> None:
    model.train()
    for module in model.modules():
        if isinstance(module, (_NormBase, _DropoutNd, DropPath)):
            module.eval()


@contextlib.contextmanager
def quantizers_of(model: nn.Module, quantizers: Quantizers) -> Iterator[None]:
    """Gives layers other quantizers, by name, and all layers not named none: they are float."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, QuantLayer)}
    before = {name: layer.quantizer for name, layer in layers.items()}
    _set(layers, {name: quantizers.get(name) for name in layers})
    try:
        yield
    finally:
        _set(layers, before)


def _set(layers: Mapping[str, QuantLayer], quantizers: Quantizers) -> None:
    for name, quantizer in quantizers.items():
        layers[name].quantizer = quantizer
        layers[name].forget_projection()


def layer_sensitivities(
    model: nn.Module,
    choices: Mapping[str, Mapping[int, WeightQuantizer]],
    measure: Callable[[nn.Module], float],
) -> tuple[float, dict[str, dict[int, float]]]:
    """Measures the float model, and then each layer quantized alone, in each way.

    Args:
        model: quantized by ``quantize_``; its own settings are back in place afterwards.
        choices: layer name to the quantizers to try, by bit width.
        measure: of the model as it is, for example a :class:`TrainingLoss`.

    Returns:
        The measure in float, and by layer and bit width how much it changes.
    """
    unknown = sorted(choices.keys() - quantized_layers(model).keys())
    if unknown:
        raise ConfigError(f"layers that the model does not quantize: {', '.join(unknown[:6])}")
    changes: dict[str, dict[int, float]] = {}
    total = 1 + sum(len(quantizers) for quantizers in choices.values())
    with Progress("sensitivity", total) as progress:
        with quantizers_of(model, {}):
            baseline = measure(model)
        progress.step()
        for name, quantizers in choices.items():
            changes[name] = {}
            for bit_width, quantizer in quantizers.items():
                with quantizers_of(model, {name: quantizer}):
                    changes[name][bit_width] = measure(model) - baseline
                progress.step()
    return baseline, changes
