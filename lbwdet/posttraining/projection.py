"""One layer after the other: its levels, by what they do to its outputs."""

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from lbwdet.errors import LBWError
from lbwdet.layers import QuantLayer
from lbwdet.posttraining import blocks
from lbwdet.posttraining.in_order import in_order, total
from lbwdet.posttraining.moments import FOREIGN, Moments, moments
from lbwdet.posttraining.norms import ChannelSums, channel_sums, refit_norm
from lbwdet.posttraining.pair import Calls, Pair
from lbwdet.posttraining.rounding import Levels, damped, output_error
from lbwdet.posttraining.search import choose_levels, powers_of_two, real_tops
from lbwdet.posttraining.settings import LayerResult, PostTraining
from lbwdet.quantizers import WeightQuantizer


class Projection:
    """Projects the layers of a pair's low-bit network, and fits its norms.

    Attributes:
        tops: the top levels stored, of the layers whose levels were chosen.
        targets: what was rounded, at their scale; kept for a refinement.
    """

    def __init__(
        self,
        pair: Pair,
        layers: Mapping[str, QuantLayer],
        quantizers: Mapping[str, WeightQuantizer],
        settings: PostTraining,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.pair, self.layers, self.quantizers = pair, layers, quantizers
        self.settings, self.pool = settings, pool
        self.tops: dict[str, Tensor] = {}
        self.targets: dict[str, Tensor] = {}

    def layer(self, name: str, caller: str, calls: list[Calls]) -> LayerResult:
        """Chooses the levels of a layer.

        Args:
            name: of the layer.
            caller: the module that was called, the layer itself or the attention around it.
            calls: the first ones of ``caller``.
        """
        layer, quantizer = self.layers[name], self.quantizers[name]
        self._calibrate(name, caller, calls)
        counted = layer.in_units(layer.weight)
        nearest = layer.in_ones(quantizer.fake_quantize(counted, name, layer.channel_axis))
        if name not in self.pair.matrices:
            return self._nearest(name, nearest)
        of_float, own = self.pair.matrices[name]
        unit = self._unit(name)
        float_rows = of_float.rows(of_float.stored) * unit
        if float_rows.shape[-1] > blocks.LARGEST:
            return self._by_blocks(name, caller, nearest, calls)
        most = -(-self.settings.positions // self._number(caller))

        def of(pair: Calls) -> Moments:
            return moments(*self._columns(name, pair, most))

        found = total(in_order(self.pool, of, self.pair.each_use(caller, calls)))
        if found is None or not found.count:
            return self._nearest(name, nearest)
        if not bool(torch.isfinite(found.second).all()):
            raise LBWError(f"{name}: its inputs are NaN or infinite; an earlier layer is damaged")
        norms = bool(self.pair.plan.norms.get(name))
        shifted = self.settings.norms and (norms or own.bias is not None)
        used = found.centered() if shifted else found
        size = found.second.diagonal(dim1=-2, dim2=-1).mean(-1)
        second = damped(used.second, self.settings.damping, size)
        target = float_rows.double()
        if self.settings.compensate and found.comparable:
            target = target + torch.linalg.solve(second, (target @ used.cross).mT).mT
        relative, top, scale = self._choose(name, target, second, norms)
        rounded = relative * scale[..., None]
        energy = output_error(target.float(), second.float()).sum().clamp(min=1e-30)
        before, after = (
            float(output_error(target.float() - rows, second.float()).sum() / energy)
            for rows in (own.rows(nearest) * unit, relative * top[..., None])
        )
        if shifted and not norms:  # the bias then; a batch norm takes its mean itself
            read = found.first / max(found.count, 1)
            goal = read + found.first_change / max(found.count, 1) * found.comparable
            shift = float_rows.double() @ goal[..., None] - rounded.double() @ read[..., None]
            assert own.bias is not None
            own.bias.add_(shift.reshape(-1))
        own.stored.copy_(own.weight(rounded / unit))
        self.tops[name] = scale
        if self.settings.refinement is not None:
            self.targets[name] = own.weight(target.float() * (scale / top)[..., None] / unit)
        return LayerResult(name, before, after, **count(own.stored))

    def norm(self, name: str, calls: list[Calls]) -> None:
        """Fits a batch norm to what it reads now."""

        def of(pair: Calls) -> tuple[ChannelSums, ChannelSums]:
            return channel_sums(pair[0][0]), channel_sums(pair[1][0])

        sums = list(in_order(self.pool, of, self.pair.each_use(name, calls)))
        if sums:
            of_float, found = (total(iter(side)) for side in zip(*sums, strict=True))
            norm = self.pair.model.get_submodule(name)
            if of_float.count and found.count:
                refit_norm(norm, of_float, found)  # type: ignore[arg-type]

    def all_tops(self) -> dict[str, Tensor]:
        """:attr:`tops` of all layers that have levels, those of an interrupted call included."""
        for name in self.pair.matrices:
            layer, quantizer = self.layers[name], self.quantizers[name]
            counted = layer.in_units(layer.weight)
            self.tops[name] = quantizer.quantize(counted, name, layer.channel_axis).scale
        return self.tops

    def _nearest(self, name: str, nearest: Tensor) -> LayerResult:
        """Of a layer that is no matrix, or that reads nothing in the low-bit network."""
        self.layers[name].weight.copy_(nearest)
        return LayerResult(name, None, None, **count(nearest))

    def _number(self, caller: str) -> int:
        return len(self.pair.inputs) * self.pair.plan.uses[caller]

    def _columns(self, name: str, calls: Calls, most: int) -> tuple[Tensor, Tensor | None]:
        """What a call brings to the layer in the low-bit network, and in the float one."""
        of_float, own = self.pair.matrices[name]
        float_call, call = calls
        read, unit = (self.layers[name].quantized_input(call[0]), *call[1:]), self._unit(name).mT
        columns = own.columns(read, most) / unit
        if not self.settings.compensate:
            return columns, None
        return columns, of_float.columns(float_call, most) / unit

    def _unit(self, name: str) -> Tensor:
        """What the columns of a layer count in: [G, 1, d], or [1, 1, 1] for ones."""
        layer, (_, own) = self.layers[name], self.pair.matrices[name]
        if layer.unit is None:
            return torch.ones(1, 1, 1)
        return own.rows(layer.unit.expand_as(layer.weight))[:, :1]

    def _by_blocks(
        self, name: str, caller: str, nearest: Tensor, calls: list[Calls]
    ) -> LayerResult:
        """As :meth:`layer`, see :mod:`lbwdet.posttraining.blocks`; no batch norm is looked at."""
        layer, quantizer = self.layers[name], self.quantizers[name]
        of_float, own = self.pair.matrices[name]
        unit = self._unit(name)
        weight = of_float.rows(of_float.stored) * unit
        # Before the columns are there: projecting 12,544 x 1,024 weights takes 0.4 GB for a while.
        counted = layer.in_units(layer.weight)
        scale = quantizer.quantize(counted, name, layer.channel_axis).scale
        top = own.rows(scale.expand_as(layer.weight))[..., 0]
        del counted
        positions = min(blocks.positions(weight.shape[-1]), self.settings.positions)
        most = -(-positions // self._number(caller))
        columns, wanted = self._kept(name, weight, caller, calls, most)
        if not columns.shape[-1]:
            return self._nearest(name, nearest)
        levels, search = Levels(quantizer.magnitudes), self.settings.search
        norms = bool(self.pair.plan.norms.get(name))
        shifted = self.settings.norms and (norms or own.bias is not None)
        read, goal = columns.mean(-1), wanted.mean(-1)
        if shifted:
            columns.sub_(read[..., None])
            wanted.sub_(goal[..., None])

        def choose(top: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
            def of_block(target: Tensor, moments: Tensor) -> Tensor:
                tops = top[None, :, None]
                relative, _ = choose_levels(target, moments, levels, tops, (), search)
                return relative * tops

            return of_block

        rounded = torch.cat(
            [
                blocks.round_blocks(w, x, y, self.settings.damping, choose(t))[None]
                for w, x, y, t in zip(weight, columns, wanted, top, strict=True)
            ]
        )
        energy = float(wanted.square().sum())
        before, after = (
            float((wanted - rows @ columns).square().sum()) / max(energy, 1e-30)
            for rows in (own.rows(nearest) * unit, rounded)
        )
        if shifted and not norms:
            assert own.bias is not None
            own.bias.add_((goal - (rounded @ read[..., None])[..., 0]).reshape(-1))
        own.stored.copy_(own.weight(rounded / unit))
        self.tops[name] = scale
        return LayerResult(name, before, after, **count(own.stored))

    def _kept(
        self, name: str, weight: Tensor, caller: str, calls: list[Calls], most: int
    ) -> tuple[Tensor, Tensor]:
        """Columns [G, d, P] of all passes, and the outputs wanted of them, [G, R, P].

        At 12,544 inputs the columns are hundreds of MB: each pass's are written to their place, and
        the float network's become outputs at once.
        """
        groups, rows, inputs = weight.shape
        size = most * self._number(caller)
        columns, goals = torch.empty(groups, inputs, size), torch.empty(groups, rows, size)
        end, energy, foreign, comparable = 0, 0.0, 0.0, True
        for pair in self.pair.each_use(caller, calls):
            x, y = self._columns(name, pair, most)
            part = slice(end, end + x.shape[-1])
            if part.stop > size:  # a pass may have some columns more
                break
            end = part.stop
            columns[..., part] = x
            energy += float(x.square().sum())
            comparable = comparable and y is not None and y.shape == x.shape
            if comparable:
                assert y is not None
                goals[..., part] = weight @ y
                foreign += float(y.sub_(x).square_().sum())
        columns, goals = columns[..., :end], goals[..., :end]
        if not math.isfinite(energy):
            raise LBWError(f"{name}: its inputs are NaN or infinite; an earlier layer is damaged")
        if not (comparable and foreign <= FOREIGN * energy):
            goals = weight @ columns
        return columns, goals

    def _choose(
        self, name: str, target: Tensor, second: Tensor, norm: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Levels relative to the top, the tops aimed at, and the powers of two to store."""
        search, together = self.settings.search, self._together(name)
        levels = Levels(self.quantizers[name].magnitudes)
        if not (norm and self.settings.norms and self.settings.real_scales):
            tops = powers_of_two(target, together, search)
            relative, top = choose_levels(target, second, levels, tops, together, search)
            return relative, top, top
        tops = real_tops(target, search)
        relative, top = choose_levels(target, second, levels, tops, (), search)
        octave = top.log2()
        if together:  # any will do, the norm has the factor
            octave = octave.mean(together, keepdim=True).expand_as(octave)
        return relative, top, torch.ldexp(torch.ones_like(top), octave.round().int())

    def _together(self, name: str) -> tuple[int, ...]:
        """Axes of [G, R] along which the quantizer has one top level."""
        layer, (_, own) = self.layers[name], self.pair.matrices[name]
        if self.quantizers[name].granularity == "tensor":
            return 0, 1
        # A transposed convolution numbers its channels within a group.
        groups, rows, _ = own.rows(own.stored).shape
        return () if layer.weight.shape[layer.channel_axis] == groups * rows else (0,)

    def _calibrate(self, name: str, caller: str, calls: list[Calls]) -> None:
        quantizer = self.layers[name].input_quantizer
        if quantizer is None or quantizer.is_calibrated:
            return
        quantizer.collect()
        for _, args in self.pair.each_use(caller, calls):
            self.layers[name].quantized_input(args[0])
        quantizer.calibrate()


def count(weight: Tensor) -> dict[str, Any]:
    """Zeros and levels of a weight, as :class:`~lbwdet.posttraining.settings.LayerResult` says."""
    return dict(zeros=float((weight == 0).float().mean()), levels=len(weight.unique()))
