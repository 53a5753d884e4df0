"""Projects the weights of many layers at once."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from lbwdet.layers.quant_layer import ProjectionKey, QuantLayer
from lbwdet.layers.straight_through import StraightThrough

Changed = tuple[QuantLayer, Tensor, ProjectionKey]
GRADIENTS_TOGETHER = 16  # layers; few, so that processes can exchange gradients early


def project_together(layers: Iterable[QuantLayer], gradients_together: bool = True) -> None:
    """Computes at once what the forward pass of each layer would compute by itself.

    Layers whose projection is of their current weight keep it.

    Args:
        layers: in the order of the forward pass, or near it.
        gradients_together: a weight's gradient may wait for those of its neighbours. A layer
            that the forward pass leaves out then counts for
            ``DistributedDataParallel(find_unused_parameters=True)`` as one that it uses.

    Raises:
        NonFiniteWeightError: a weight holds NaN or infinity.
    """
    classes: dict[tuple[Any, ...], list[Changed]] = {}
    trained = []
    for layer in layers:
        if layer.quantizer is None:
            continue
        weight = layer.weight
        key = layer.projection_key(weight)
        if not layer.remembers(key):
            like = (layer.quantizer.settings, weight.device, weight.dtype)
            classes.setdefault(like, []).append((layer, weight, key))
            if weight.requires_grad:
                trained.append((layer, weight))
    with torch.inference_mode(False), torch.no_grad():
        for found in classes.values():
            quantizer = found[0][0].quantizer
            assert quantizer is not None
            projected = quantizer.fake_quantize_all(
                [layer.in_units(weight) for layer, weight, _ in found],
                [layer._name() for layer, _, _ in found],
                [layer.channel_axis for layer, _, _ in found],
            )
            for (layer, _, key), each in zip(found, projected, strict=True):
                layer.remember(key, layer.blended(each))
    if gradients_together and torch.is_grad_enabled():
        for start in range(0, len(trained), GRADIENTS_TOGETHER):
            _let_gradients_through(*zip(*trained[start : start + GRADIENTS_TOGETHER], strict=True))


def _let_gradients_through(layers: Sequence[QuantLayer], masters: Sequence[Tensor]) -> None:
    """Puts one operation of autograd behind all these layers in the place of one for each."""
    caches = [layer._cache for layer in layers if layer._cache is not None]
    tracked = StraightThrough.apply(layers, [quantized for _, quantized in caches], *masters)
    for layer, (key, _), quantized in zip(layers, caches, tracked, strict=True):
        layer.remember(key, quantized)
