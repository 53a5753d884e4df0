"""A float detector's network in ncnn's files, by its own converter (pnnx)."""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Array = np.ndarray
_OTHER_SIZE = 64  # pixels that a second example is larger by: no size becomes a constant


def write_ncnn(
    part: str, module: nn.Module, precision: str, inputs: Sequence[Array], folder: Path
) -> Path:
    """Writes a graph; arguments as in :mod:`lbwdet.benchmark.graphs`.

    Returns:
        The file of the network's structure; its weights lie beside it.

    Raises:
        RuntimeError: this graph cannot be had, and why.
    """
    import ncnn  # noqa: F401  (its absence should show here)
    import pnnx

    if precision != "fp32":
        raise RuntimeError("ncnn's quantizer is a program of its own, which PyPI does not have")
    if part != "dense":
        raise RuntimeError("ncnn computes one image at a time, and regions are many")
    example = torch.from_numpy(inputs[0])
    larger = F.pad(example, (0, _OTHER_SIZE, 0, _OTHER_SIZE))
    path, written = folder / f"{part}.pt", folder / f"{part}.ncnn.param"
    written.unlink(missing_ok=True)  # pnnx may fail without a word
    with _focus_by_unshuffling(module), torch.no_grad():
        torch.jit.trace(module, example, check_trace=False).save(str(path))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(folder):
        pnnx.convert(str(path), example, larger, fp16=False)
    if not written.exists():
        raise RuntimeError("pnnx did not convert the network")
    return written


@contextlib.contextmanager
def _focus_by_unshuffling(module: nn.Module) -> Iterator[None]:
    """MMDetection's ``Focus`` (YOLOX) without slices in steps, which pnnx takes for whole maps.

    ``pixel_unshuffle`` has its channels in another order, and so has the weight meanwhile.
    """
    changed: list[Any] = [each for each in module.modules() if type(each).__name__ == "Focus"]
    weights = [each.conv.conv.weight for each in changed]
    before = [weight.data for weight in weights]
    for each, weight in zip(changed, weights, strict=True):
        out, channels, *kernel = weight.shape
        # From [x of a block, y of it, channel] to [channel, y, x].
        ordered = weight.data.reshape(out, 2, 2, channels // 4, *kernel).permute(0, 3, 2, 1, 4, 5)
        weight.data = ordered.reshape(weight.shape)
        each.forward = _unshuffled(each)
    try:
        yield
    finally:
        for each, weight, old in zip(changed, weights, before, strict=True):
            del each.forward
            weight.data = old


def _unshuffled(focus: Any) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        found: Tensor = focus.conv(F.pixel_unshuffle(x, 2))
        return found

    return forward
