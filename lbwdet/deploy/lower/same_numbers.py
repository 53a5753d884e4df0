"""Whether a program computes what its model does, at another size of image than the traced one.

A trace knows sizes as numbers: a map that is pooled to 2 x 2 for every image looks like one that is
pooled to a share of itself, and one that is resized to 8 x 12 like one that follows another map.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lbwdet.deploy.calibration.convolution import convolve
from lbwdet.deploy.runtime.context import LayerNumbers, Run
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.operations.preprocess import Preprocess
from lbwdet.deploy.runtime.shapes import Shapes
from lbwdet.deploy.runtime.weights import Array
from lbwdet.errors import ConfigError, LBWError, first_line
from lbwdet.layers import input_quantizers

SIZE = (160, 224)  # about that: maps of stride 32 have odd sides
_TOLERANCE = 0.01  # of a map's largest number: sums of other orders differ by a hundredth of that


def check_same_numbers(
    model: nn.Module,
    dense: Callable[[Any, Tensor], tuple[Tensor, ...]],
    operations: Sequence[Operation],
    layers: Mapping[str, LayerNumbers],
    maps: Sequence[str],
) -> None:
    """Runs model and program on noise of another size than they were traced with, if there is one.

    Args:
        model: the detector in eval mode.
        dense: from its input to the ``maps``, see :class:`.head.Head`.
        operations: what it was lowered to; the first is its preprocessing.
        layers: their numbers, in reals.
        maps: names of what ``dense`` returns.

    Raises:
        ConfigError: names the first map that differs.
    """
    preprocess, *network = operations
    assert isinstance(preprocess, Preprocess)
    size = _size(preprocess)
    noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    low, high = preprocess.input_range
    image = low + (high - low) * noise
    try:
        with torch.no_grad(), _float_inputs(model):
            expected = dense(model, image)
    except Exception:  # of any model: it takes no such image, nor does MMDetection
        return
    what = f"{type(model).__name__} cannot be lowered: at {size[0]}x{size[1]} what was made of it"
    try:
        found = _maps(network, layers, maps, preprocess.output, image)
    except (ValueError, IndexError, RuntimeError, LBWError) as error:
        raise ConfigError(f"{what} fails: {first_line(error)}") from error
    for name, tensor in zip(maps, expected, strict=True):
        real = tensor.detach().float()
        if not real.isfinite().all():
            continue  # of weights that nobody has set
        largest = float(real.abs().max()) if real.numel() else 0.0
        difference = _difference(found[name], real)
        if difference is None or not difference <= _TOLERANCE * largest:  # what is no number, too
            differs = "has another shape" if difference is None else f"differs by {difference:.2g}"
            raise ConfigError(
                f"{what} computes something else: {name} {differs}, where its largest number is "
                f"{largest:.2g}. Sizes in numbers (adaptive pooling, F.interpolate(size=...)) need "
                "a test pipeline that makes all images one size: Resize with keep_ratio=False"
            )


def _size(preprocess: Preprocess) -> tuple[int, int]:
    """Height and width; the only ones where all images have these."""
    sides = preprocess.infer(Shapes({}, {})).size
    height, width = (
        _odd(-(-about // side.factor)) * side.factor if side.factor else side.smallest
        for about, side in zip(SIZE, sides, strict=True)
    )
    return height, width


def _odd(count: int) -> int:
    return count + 1 - count % 2


@contextlib.contextmanager
def _float_inputs(model: nn.Module) -> Iterator[None]:
    """Inside the block inputs of layers pass unquantized; weights are those of training."""
    quantizers = input_quantizers(model).values()
    for quantizer in quantizers:
        quantizer.collect()
    try:
        yield
    finally:
        for quantizer in quantizers:
            quantizer.forget()


def _maps(
    network: Sequence[Operation],
    layers: Mapping[str, LayerNumbers],
    maps: Sequence[str],
    source: str,
    image: Tensor,
) -> dict[str, Array]:
    height, width = image.shape[2:]
    run = Run({}, layers, np.zeros((height, width, 3), np.uint8), convolve)
    run.resized = run.bounds = (height, width)
    run.values[source] = image.permute(0, 2, 3, 1).numpy()
    wanted = set(maps) - run.values.keys()
    for operation in network:
        if not wanted:
            break
        with np.errstate(all="ignore"):
            run.values[operation.written] = operation.compute(run)
        wanted.discard(operation.written)
    return {name: run.values[name] for name in maps}


def _difference(found: Array, expected: Tensor) -> float | None:
    """None where shapes differ. A program's maps are channels last, a model's first, or tokens."""
    ours = torch.from_numpy(np.ascontiguousarray(found, np.float32))
    if expected.dim() == 4:
        forms = [form for form in (ours.permute(0, 3, 1, 2), ours) if form.shape == expected.shape]
    else:
        forms = [ours.reshape(expected.shape)] if ours.numel() == expected.numel() else []
    if not forms or not expected.numel():
        return 0.0 if forms else None
    return min(float((form - expected).abs().max()) for form in forms)
