"""``nn.MultiheadAttention`` as two matrices: into the heads, and out of them.

Its ``in_proj_weight`` stacks the matrices of queries, keys and values: three groups of rows, each
with columns of its own. ``out_proj`` is never called as a module; the attention around it reads
its weight. Asked with the identity in its place, the attention gives what ``out_proj`` reads.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lbwdet.layers.shadow import shadow
from lbwdet.posttraining.columns import Matrix, SeenMatrix, gives, positions

OUT = "out_proj"


class IntoHeads(Matrix):
    """The stacked projection; the arguments of a call begin with queries, keys and values."""

    layer: nn.MultiheadAttention

    @property
    def stored(self) -> Tensor:
        return self.layer.in_proj_weight.detach()

    @property
    def bias(self) -> Tensor | None:
        bias: Tensor | None = self.layer.in_proj_bias
        return None if bias is None else bias.detach()

    def rows(self, weight: Tensor) -> Tensor:
        return weight.reshape(3, -1, weight.shape[1])

    def weight(self, rows: Tensor) -> Tensor:
        return rows.reshape(-1, rows.shape[2])

    def columns(self, args: tuple[Any, ...], most: int) -> Tensor:
        tokens = [x.reshape(-1, x.shape[-1]) for x in args[:3]]
        number = min(most, *map(len, tokens))  # as many of each: they are one tensor
        return torch.stack([x[positions(len(x), number)].T for x in tokens]).float()


class OutOfHeads(SeenMatrix):
    """The projection of what the heads give, side by side."""

    layer: nn.MultiheadAttention

    @property
    def stored(self) -> Tensor:
        return self.layer.out_proj.weight.detach()

    @property
    def bias(self) -> Tensor | None:
        bias: Tensor | None = self.layer.out_proj.bias
        return None if bias is None else bias.detach()

    def rows(self, weight: Tensor) -> Tensor:
        return weight[None]

    def weight(self, rows: Tensor) -> Tensor:
        return rows[0]

    def columns(self, args: tuple[Any, ...], most: int) -> Tensor:
        weight, bias = self.layer.out_proj.weight, self.layer.out_proj.bias
        probe: dict[str, Tensor | None] = {
            f"{OUT}.weight": torch.eye(len(weight), dtype=weight.dtype, device=weight.device),
            f"{OUT}.bias": None if bias is None else torch.zeros_like(bias),
        }
        return self.outputs(shadow(self.layer, probe).forward(*args), most)

    def outputs(self, output: Any, most: int) -> Tensor:
        tokens: Tensor = output[0].reshape(-1, output[0].shape[-1])
        return tokens[positions(len(tokens), most)].T[None].float()


def attention_matrices(
    layer: nn.MultiheadAttention, args: tuple[Any, ...], output: Any
) -> tuple[IntoHeads, OutOfHeads] | None:
    """Both, tried on a call as far as they can be; None for one that computes in its own way."""
    overridden = any(
        "forward" in vars(kind)
        for kind in type(layer).__mro__[: type(layer).__mro__.index(nn.MultiheadAttention)]
        if not kind.__module__.startswith("lbwdet.layers")
    )
    out = OutOfHeads(layer)
    if overridden or layer.in_proj_weight is None or not gives(out, args, output):
        return None
    return IntoHeads(layer), out
