"""From a layer's parameters to the weight that an artifact stores."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from lbwdet.deploy.lower.draft import LayerParameters
from lbwdet.deploy.lower.trace import Graph
from lbwdet.deploy.runtime.validate import check_weight
from lbwdet.deploy.runtime.weights import MAX_WEIGHT, Array, StoredWeight
from lbwdet.errors import ConfigError
from lbwdet.layers import QuantLayer
from lbwdet.layers.quantizable import weight_name


def store_weights(
    model: nn.Module, layers: Mapping[str, LayerParameters], graph: Graph
) -> dict[str, StoredWeight]:
    """Every layer's weight as codes, with what follows it as gain and bias.

    Args:
        model: with the layers.
        layers: by the name that the artifact has for each.
        graph: where their weights are.

    Raises:
        ArtifactError: an accumulator could overflow.
        ConfigError: a low-bit weight that the module computes something else from.
        NonFiniteWeightError: a weight holds NaN or infinity.
    """
    weights = {}
    for name, layer in layers.items():
        _check_levels(model, layer, graph)
        codes, scale, code, bit_width, magnitudes = _codes(model, layer, graph)
        shape = (len(codes), -1, *layer.kernel)
        gain, bias = (np.array(part).astype(np.float32) for part in (layer.gain, layer.bias))
        weights[name] = StoredWeight(
            codes.reshape(shape), scale, code, bit_width, magnitudes, gain, bias
        )
        if layer.length_eps is not None:
            weights[name] = _over_lengths(weights[name], layer.length_eps)
        check_weight(name, weights[name])
    return weights


def float_weights(
    model: nn.Module, layers: Mapping[str, LayerParameters], graph: Graph
) -> dict[str, Array]:
    """Weights [o, i, kh, kw] of the layers that are float in training, as they are there."""
    found = {}
    for name, layer in layers.items():
        if _low_bit(model, layer) is None:
            weight = outputs_first(graph.constants[layer.weight].detach().numpy(), layer)
            found[name] = weight.reshape(len(weight), -1, *layer.kernel)
    return found


def _low_bit(model: nn.Module, layer: LayerParameters) -> QuantLayer | None:
    """The module whose low-bit weight a layer has; None of a layer that is float in training."""
    module = model.get_submodule(layer.module)
    if not isinstance(module, QuantLayer) or module.quantizer is None:
        return None
    return module if layer.weight == f"{layer.module}.{weight_name(module)}" else None


def _over_lengths(weight: StoredWeight, eps: float) -> StoredWeight:
    rows = weight.dequantize().reshape(len(weight.codes), -1).astype(np.float64)
    lengths = np.sqrt((rows**2).sum(1)) + eps
    return replace(weight, gain=(weight.gain / lengths).astype(np.float32))


def _check_levels(model: nn.Module, layer: LayerParameters, graph: Graph) -> None:
    """A weight that is computed from low-bit parameters does not have their levels."""
    for source in graph.made_of.get(layer.weight, ()):
        module = model.get_submodule(source.rpartition(".")[0])
        if isinstance(module, QuantLayer) and module.quantizer is not None:
            raise ConfigError(
                f"{layer.module} cannot be lowered: it computes its weight from {source}, whose "
                f"{module.quantizer.bit_width}-bit levels the result has not; keep it in float "
                "(keep_float)"
            )


def _codes(
    model: nn.Module, layer: LayerParameters, graph: Graph
) -> tuple[Array, Array, str, int, int]:
    module = _low_bit(model, layer)
    if module is not None and module.quantizer is not None:
        quantized = module.quantized_weight()
        scale = quantized.scale.reshape(-1).to(torch.float32).numpy()
        codes = outputs_first(quantized.codes.numpy(), layer)
        return (
            codes,
            scale if len(scale) == 1 else np.resize(_only(scale, layer), len(codes)),
            module.quantizer.code,
            quantized.bit_width,
            quantized.num_magnitudes,
        )
    weight = graph.constants[layer.weight]
    if not bool(torch.isfinite(weight).all()):
        raise ConfigError(f"{layer.module}: weights are NaN or infinite; use an earlier checkpoint")
    rows = outputs_first(weight.detach().numpy(), layer)
    codes, scale = uniform_codes(rows)
    if layer.in_two:
        half = len(rows) // 2
        rest = rows[:half] - codes[:half] * scale[:half, None]
        codes[half:], scale[half:] = uniform_codes(rest)
    return codes, scale, "uniform", 8, 0


def outputs_first(weight: Array, layer: LayerParameters) -> Array:
    """A layer's weight with its output channels first, as its convolution has them."""
    if layer.sampled:
        weight = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1, 1, 1)
    elif layer.transposed:
        weight = weight.transpose(2, 3, 1, 0).reshape(-1, len(weight), 1, 1)
    if layer.in_two:
        weight = np.concatenate([weight, np.zeros_like(weight)])
    return np.ascontiguousarray(_only(weight, layer))


def _only(rows: Array, layer: LayerParameters) -> Array:
    """Of something for each output channel, that of those which the layer has."""
    return rows[list(layer.outputs)] if layer.outputs else rows


def uniform_codes(weight: Array) -> tuple[Array, Array]:
    """Integers -64..64 and a scale per output channel: its largest weight becomes ±64.

    Clipping each channel where that costs least instead gains 3 % of an error of 2e-4 (of
    the weights' energy; median over the layers of trained R18 detectors): not worth it.

    Args:
        weight: float32, output channels first.

    Returns:
        Codes, int8, of the weight's shape; scales, float32 [o].
    """
    flat = weight.reshape(len(weight), -1)
    scale = np.abs(flat).max(1, initial=0).astype(np.float32) / np.float32(MAX_WEIGHT)
    scale[scale == 0] = 1
    codes = np.clip(np.rint(flat / scale[:, None]), -MAX_WEIGHT, MAX_WEIGHT)
    return codes.astype(np.int8).reshape(weight.shape), scale
