"""From a float network and images without labels to one that computes with low bits."""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from lbwdet.errors import ConfigError, LBWError
from lbwdet.layers import QuantLayer, calibration, input_quantizers, quantized_layers
from lbwdet.posttraining import blocks
from lbwdet.posttraining.allocator import big_blocks_returned
from lbwdet.posttraining.pair import Forward, Pair
from lbwdet.posttraining.projection import Projection, count
from lbwdet.posttraining.refine import LevelWeight, refine
from lbwdet.posttraining.settings import LayerResult, PostTraining, Result
from lbwdet.quantizers import WeightQuantizer


def post_train(
    model: nn.Module,
    inputs: Iterable[Any],
    forward: Forward = lambda model, x: model(x),
    settings: PostTraining | None = None,
    floating: nn.Module | None = None,
    done: Collection[str] = (),
    on_module: Callable[[str, int, int, LayerResult | None], None] | None = None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> Result:
    """Chooses the levels of a module's quantized layers by what they do to its outputs.

    Layer after layer, as inputs meet them: the second moments of what the layer reads in
    the network that is low-bit so far, the weight that would give the float network's
    outputs from it, levels for that weight by error feedback; then the batch norm behind it
    is fitted to the new outputs. Master weights become exact levels, which their quantizer
    leaves as they are.

    All work is done on one thread per pass and per layer, so that the result does not
    depend on their number (``torch.get_num_threads()`` of them are used). Memory beyond the
    model: a float copy of it, 1.4 GB of waiting passes, and at most 0.5 GB of moments; if more
    inputs are given than passes may wait, they are taken evenly.

    Args:
        model: changed in place; in eval mode, quantized by :func:`lbwdet.layers.quantize_`.
            Layers with activation quantizers that have seen no data are calibrated on the way.
        inputs: of single forward passes; kept in memory.
        forward: runs the module on one of them.
        settings: see :class:`PostTraining`; None for its defaults.
        floating: the float network; None for ``model`` as it is.
        done: modules that an interrupted call has been through, as ``on_module`` named them.
        on_module: is told of each module's name, its number, their number and its result.
        on_step: of each step of the refinement and its loss.

    Raises:
        ConfigError: the module is not quantized, or in training mode, or there is no input.
        NonFiniteWeightError, LBWError: NaN or infinite weights or activations; the layer
            is named.

    >>> from lbwdet.layers import quantize_
    >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)).eval()
    >>> images = [torch.randn(32, 8) for _ in range(4)]
    >>> _ = quantize_(net, weight=dict(bit_width=4, code="dense"))
    >>> [layer.name for layer in post_train(net, images).layers]
    ['0', '2']
    """
    settings = settings or PostTraining()
    layers = quantized_layers(model)
    if not layers:
        raise ConfigError(f"{type(model).__name__} has no quantized layer; call quantize_ first")
    if model.training:
        raise ConfigError(f"{type(model).__name__} is in training mode; call eval() first")
    inputs = list(inputs)
    if not inputs:
        raise ConfigError("no inputs: post-training needs one image or more")
    quantizers = {name: _quantizer(name, layer) for name, layer in layers.items()}
    with (
        big_blocks_returned(),
        _one_thread() as threads,
        _float_layers(layers),
        _channels_last(model),
        ThreadPoolExecutor(threads) as pool,
    ):
        if input_quantizers(model):  # at once: a module's later calls come after other modules
            with calibration(model, again=False), torch.no_grad():
                for x in inputs:
                    forward(model, x)
        twin = _float_copy(model if floating is None else floating)
        waiting = settings.waiting_bytes
        if any(layer.weight[0].numel() > blocks.LARGEST for layer in layers.values()):
            waiting = max(1, waiting - blocks.BYTES)
        pair = Pair(model, twin, layers, inputs, forward, waiting)
        projection = Projection(pair, layers, quantizers, settings, pool)
        results = _project(pair, projection, set(done), on_module)
        if settings.refinement is not None:
            _refine(pair, projection, on_step)
            results = [
                dataclasses.replace(result, **count(layers[result.name].weight))
                for result in results
            ]
    for name in projection.tops:
        layer = layers[name]
        if not torch.equal(layer.fake_quantized_weight(), layer.weight):
            raise LBWError(f"{name}: the quantizer does not give the levels that were chosen")
    return Result(results, len(pair.inputs))


@torch.no_grad()
def _project(
    pair: Pair, projection: Projection, done: set[str], on_module: Any
) -> list[LayerResult]:
    results = []
    steps = [part for name in pair.plan.uses for part in pair.parts.get(name, [name])]
    for name, calls in pair.walk():
        for part in pair.parts.get(name, [name]):
            if part in done:
                continue
            result = None
            if part in projection.layers:
                result = projection.layer(part, name, calls)
                results.append(result)
            elif projection.settings.norms:
                projection.norm(part, calls)
            if on_module is not None:
                on_module(part, steps.index(part) + 1, len(steps), result)
        del calls  # not held while all passes go on: at the first layers these are the peak
    return results


def _refine(pair: Pair, projection: Projection, on_step: Callable[[int, float], None]) -> None:
    layers, quantizers = projection.layers, projection.quantizers
    weights = {
        name: LevelWeight(
            layers[name],
            _signed(quantizers[name]),
            layers[name].in_ones(top.expand_as(layers[name].weight)),
            projection.targets.get(name),
        )
        for name, top in projection.all_tops().items()
    }
    settings = projection.settings.refinement
    assert settings is not None
    refine(
        pair.model,
        pair.floating,
        weights,
        pair.plan,
        pair.inputs,
        pair.forward,
        settings,
        projection.pool,
        on_step,
    )


def _signed(quantizer: WeightQuantizer) -> Tensor:
    magnitudes = quantizer.magnitudes
    return torch.cat([-magnitudes.flip(0), magnitudes.new_zeros(1), magnitudes])


def _quantizer(name: str, layer: QuantLayer) -> WeightQuantizer:
    quantizer = layer.quantizer
    assert quantizer is not None
    if quantizer.solver != "exact" or quantizer.bit_width == 1:
        raise ConfigError(
            f"{name}: {quantizer.bit_width} bits with solver={quantizer.solver!r}; post-training "
            "chooses levels for solver='exact' at 2 bits and more"
        )
    return quantizer


@contextlib.contextmanager
def _one_thread() -> Iterator[int]:
    """Operations on one thread each, so that sums do not depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _float_layers(layers: dict[str, QuantLayer]) -> Iterator[None]:
    """The layers compute with their master weights meanwhile."""
    quantizers = {layer: layer.quantizer for layer in layers.values()}
    for layer in quantizers:
        layer.quantizer = None
    try:
        yield
    finally:
        for layer, quantizer in quantizers.items():
            layer.quantizer = quantizer
            layer.forget_projection()


@contextlib.contextmanager
def _channels_last(model: nn.Module) -> Iterator[None]:
    """Convolutions on one thread are nearly twice as fast in this order of memory."""
    _to_channels_last(model)
    try:
        yield
    finally:
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.contiguous()


def _to_channels_last(model: nn.Module) -> None:
    """``model.to(memory_format=...)``, which raises for weights of five dimensions, for others."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def _float_copy(model: nn.Module) -> nn.Module:
    twin = copy.deepcopy(model)
    _to_channels_last(twin)
    for module in twin.modules():
        if isinstance(module, QuantLayer):
            module.set_input_quantizer(None)
    return twin
