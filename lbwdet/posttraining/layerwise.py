"""From a float network and images without labels to one that computes with low bits."""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lbwdet.errors import ConfigError, LBWError
from lbwdet.layers import QuantLayer, quantized_layers
from lbwdet.posttraining import blocks
from lbwdet.posttraining.columns import Matrix, matrix_of
from lbwdet.posttraining.moments import FOREIGN, Moments, moments
from lbwdet.posttraining.norms import ChannelSums, channel_sums, refit_norm
from lbwdet.posttraining.plan import Plan, make_plan
from lbwdet.posttraining.refine import LevelWeight, Refinement, refine
from lbwdet.posttraining.rounding import Levels, damped, output_error
from lbwdet.posttraining.search import Search, choose_levels, powers_of_two, real_tops
from lbwdet.posttraining.walk import Walk, calls_of
from lbwdet.quantizers import WeightQuantizer

T = TypeVar("T")
Forward = Callable[[nn.Module, Any], object]


@dataclasses.dataclass(frozen=True)
class PostTraining:
    """What is done; each ingredient can be switched off.

    Attributes:
        positions: columns of a layer that are looked at, of all inputs together.
        damping: added to the diagonal of the moments, as a share of its mean.
        search: how levels are chosen.
        compensate: aim at the float network's outputs, so that later layers make up for
            the errors of earlier ones; otherwise at those of the float weights.
        norms: fit batch norms and biases to what the low-bit layers give.
        real_scales: where batch norms alone read a layer, choose real top levels for its
            channels, and leave the factors to the norms.
        refinement: by gradient, at the end; None: none.
        waiting_bytes: of all passes that wait; of more inputs, as many as fit are taken evenly.
    """

    positions: int = 30_000
    damping: float = 0.01
    search: Search = dataclasses.field(default_factory=Search)
    compensate: bool = True
    norms: bool = True
    real_scales: bool = True
    refinement: Refinement | None = None
    waiting_bytes: int = 1_200_000_000


@dataclasses.dataclass(frozen=True)
class LayerResult:
    """What became of a layer.

    Attributes:
        name: dotted.
        before: relative squared error of its outputs with the nearest levels.
        after: with the levels chosen; both None for a layer that no input reached, or that
            is no matrix, and whose levels stay the nearest ones.
        zeros: share of its weights.
        levels: number of different levels in use.
    """

    name: str
    before: float | None
    after: float | None
    zeros: float
    levels: int


@dataclasses.dataclass(frozen=True)
class Result:
    """Attributes: ``layers`` in the order of their calls, and ``inputs``, how many were used."""

    layers: list[LayerResult]
    inputs: int


def post_train(
    model: nn.Module,
    inputs: Iterable[Any],
    forward: Forward = lambda model, x: model(x),
    settings: PostTraining = PostTraining(),
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
    model: a float copy of it, 1.2 GB of waiting passes, and at most 0.5 GB of moments; if more
    inputs are given than passes may wait, they are taken evenly.

    Args:
        model: changed in place; in eval mode, quantized by :func:`lbwdet.layers.quantize_`.
            Layers with activation quantizers that have seen no data are calibrated on the way.
        inputs: of single forward passes; kept in memory.
        forward: runs the module on one of them.
        settings: see :class:`PostTraining`.
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
        _one_thread() as threads,
        _float_layers(layers),
        _channels_last(model),
        ThreadPoolExecutor(threads) as pool,
    ):
        twin = _float_copy(model if floating is None else floating)
        work = _Work(model, twin, layers, quantizers, inputs, forward, settings, pool)
        results = work.project(set(done), on_module)
        if settings.refinement is not None:
            work.refine(settings.refinement, on_step)
            results = [work.measured_again(result) for result in results]
    for name, layer in layers.items():
        if name in work.tops and not torch.equal(layer.fake_quantized_weight(), layer.weight):
            raise LBWError(f"{name}: the quantizer does not give the levels that were chosen")
    return Result(results, len(work.inputs))


class _Work:
    """A network on its way, and what is known of it."""

    def __init__(
        self,
        model: nn.Module,
        floating: nn.Module,
        layers: dict[str, QuantLayer],
        quantizers: dict[str, WeightQuantizer],
        inputs: list[Any],
        forward: Forward,
        settings: PostTraining,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.model, self.floating, self.layers = model, floating, layers
        self.forward, self.settings, self.pool = forward, settings, pool
        self.quantizers = quantizers
        self.matrices: dict[str, Matrix | None] = {}
        self.tops: dict[str, Tensor] = {}
        self.targets: dict[str, Tensor] = {}  # what was rounded, at the scale of the levels
        self.plan = self._plan(inputs[0])
        most = max(1, settings.waiting_bytes // max(1, 2 * self.plan.live_bytes))
        self.inputs = [
            inputs[i * len(inputs) // min(most, len(inputs))] for i in range(min(most, len(inputs)))
        ]

    def _plan(self, x: Any) -> Plan:
        def on_first(name: str, args: tuple[Any, ...], output: Any) -> None:
            layer = self.floating.get_submodule(name)
            self.matrices[name] = matrix_of(layer, args, output)

        layers = {name: self.floating.get_submodule(name) for name in self.layers}
        return make_plan(self.floating, layers, lambda: self.forward(self.floating, x), on_first)

    def project(self, done: set[str], on_module: Any) -> list[LayerResult]:
        results = []
        models = (self.floating, self.model)
        passes = [self._pass(model, x) for model in models for x in self.inputs]
        number = len(self.inputs)
        names = list(self.plan.uses)
        with torch.no_grad(), Walk(models, names, passes) as walk:
            for index, name in enumerate(walk):
                if name in done:
                    continue
                pairs = [
                    (of_float.arguments, run.arguments)
                    for of_float, run in zip(walk.runs[:number], walk.runs[number:], strict=True)
                    if of_float.at == run.at == name
                ]
                result = None
                if name in self.layers:
                    result = self._layer(name, pairs)
                    results.append(result)
                elif self.settings.norms:
                    self._norm(name, pairs)
                if on_module is not None:
                    on_module(name, index + 1, len(names), result)
        return results

    def refine(self, settings: Refinement, on_step: Callable[[int, float], None]) -> None:
        weights = {
            name: LevelWeight(
                self.layers[name], _signed(self.quantizers[name]), top, self.targets.get(name)
            )
            for name, top in self._all_tops().items()
        }
        refine(
            self.model,
            self.floating,
            weights,
            self.plan,
            self.inputs,
            self.forward,
            settings,
            self.pool,
            on_step,
        )

    def _all_tops(self) -> dict[str, Tensor]:
        for name, layer in self.layers.items():
            if name in self.plan.uses and self.matrices.get(name) is not None:
                scale = self.quantizers[name].quantize(layer.weight, name, layer.channel_axis).scale
                self.tops[name] = scale
        return self.tops

    def measured_again(self, result: LayerResult) -> LayerResult:
        return dataclasses.replace(result, **_count(self.layers[result.name].weight))

    def _float_weight(self, name: str) -> Tensor:
        layer: Any = self.floating.get_submodule(name)
        weight: Tensor = layer.weight
        return weight.detach()

    def _each_use(self, name: str, pairs: list[Any]) -> Iterator[tuple[Any, Any]]:
        """The arguments of every call, in the float and in the low-bit network."""
        if self.plan.uses[name] == 1:
            yield from pairs
            return
        for x in self.inputs:  # later calls come after others of the same pass: anew
            calls = (
                calls_of(model.get_submodule(name), self.plan.uses[name], self._pass(model, x))
                for model in (self.floating, self.model)
            )
            yield from zip(*calls, strict=False)

    def _pass(self, model: nn.Module, x: Any) -> Callable[[], object]:
        return lambda: self.forward(model, x)

    def _layer(self, name: str, pairs: list[Any]) -> LayerResult:
        layer: Any = self.layers[name]
        quantizer, matrix = self.quantizers[name], self.matrices[name]
        nearest = quantizer.fake_quantize(layer.weight, name, layer.channel_axis)
        self._calibrate(name, pairs)
        if matrix is None:
            layer.weight.copy_(nearest)
            return LayerResult(name, None, None, **_count(nearest))
        weight = matrix.rows(layer.weight.detach())
        most = -(-self.settings.positions // (len(self.inputs) * self.plan.uses[name]))
        if weight.shape[-1] > blocks.LARGEST:
            return self._layer_by_blocks(name, matrix, nearest, pairs)

        def of(pair: tuple[Any, Any]) -> Moments:
            return moments(*self._columns(name, pair, most))

        total = _total(_in_order(self.pool, of, self._each_use(name, pairs)))
        if not bool(torch.isfinite(total.second).all()):
            raise LBWError(f"{name}: its inputs are NaN or infinite; an earlier layer is damaged")
        norms = self.plan.norms.get(name, [])
        shifted = self.settings.norms and (bool(norms) or getattr(layer, "bias", None) is not None)
        used = total.centered() if shifted else total
        size = total.second.diagonal(dim1=-2, dim2=-1).mean(-1)
        second = damped(used.second, self.settings.damping, size)
        float_rows = matrix.rows(self._float_weight(name)).double()
        target = float_rows
        if self.settings.compensate and total.comparable:
            target = target + torch.linalg.solve(second, (target @ used.cross).mT).mT
        relative, top, scale = self._choose(name, target, second, bool(norms))
        rounded = relative * scale[..., None]
        energy = output_error(target.float(), second.float()).sum().clamp(min=1e-30)
        before, after = (
            float(output_error(target.float() - rows, second.float()).sum() / energy)
            for rows in (matrix.rows(nearest), relative * top[..., None])
        )
        if shifted and not norms:  # the bias then; a batch norm takes its mean itself
            read = total.first / max(total.count, 1)
            goal = read + total.first_change / max(total.count, 1) * total.comparable
            shift = float_rows @ goal[..., None] - rounded.double() @ read[..., None]
            layer.bias.add_(shift.reshape(-1))
        layer.weight.copy_(matrix.weight(rounded))
        self.tops[name] = scale
        if self.settings.refinement is not None:
            real = target.float() * (scale / top)[..., None]
            self.targets[name] = matrix.weight(real)
        return LayerResult(name, before, after, **_count(layer.weight))

    def _columns(self, name: str, pair: tuple[Any, Any], most: int) -> tuple[Tensor, Tensor | None]:
        """What a call brings to the layer in the low-bit network, and in the float one."""
        matrix, layer = self.matrices[name], self.layers[name]
        assert matrix is not None
        of_float, own = pair
        columns = matrix.columns((layer.quantized_input(own[0]), *own[1:]), most)
        return columns, matrix.columns(of_float, most) if self.settings.compensate else None

    def _layer_by_blocks(
        self, name: str, matrix: Matrix, nearest: Tensor, pairs: list[Any]
    ) -> LayerResult:
        """As :meth:`_layer`, see :mod:`lbwdet.posttraining.blocks`; no batch norm is looked at."""
        layer: Any = self.layers[name]
        quantizer = self.quantizers[name]
        weight = matrix.rows(self._float_weight(name))
        calls = len(self.inputs) * self.plan.uses[name]
        most = -(-min(blocks.positions(weight.shape[-1]), self.settings.positions) // calls)
        found = [self._columns(name, pair, most) for pair in self._each_use(name, pairs)]
        columns = torch.cat([x for x, _ in found], -1)
        if not bool(torch.isfinite(columns).all()):
            raise LBWError(f"{name}: its inputs are NaN or infinite; an earlier layer is damaged")
        wanted = weight @ columns
        others = [y for x, y in found if y is not None and y.shape == x.shape]
        if len(others) == len(found):
            changes = (
                float((x - y).square().sum()) for (x, _), y in zip(found, others, strict=True)
            )
            if sum(changes) <= FOREIGN * float(columns.square().sum()):
                wanted = torch.cat([weight @ y for y in others], -1)
        del found, others
        scale = quantizer.quantize(layer.weight, name, layer.channel_axis).scale
        top = scale.reshape(len(weight), -1) if scale.dim() else scale.expand(weight.shape[:2])
        levels, search = Levels(quantizer.magnitudes), self.settings.search
        norms = self.plan.norms.get(name)
        bias = getattr(layer, "bias", None)
        shifted = self.settings.norms and (bool(norms) or bias is not None)
        read, goal = columns.mean(-1), wanted.mean(-1)
        if shifted:
            columns, wanted = columns - read[..., None], wanted - goal[..., None]

        def choose(top: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
            def of_block(target: Tensor, moments: Tensor) -> Tensor:
                tops = top[None, :, None]
                relative, _ = choose_levels(target, moments, levels, tops, True, search)
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
            for rows in (matrix.rows(nearest), rounded)
        )
        if shifted and not norms:
            layer.bias.add_((goal - (rounded @ read[..., None])[..., 0]).reshape(-1))
        layer.weight.copy_(matrix.weight(rounded))
        self.tops[name] = scale
        return LayerResult(name, before, after, **_count(layer.weight))

    def _choose(
        self, name: str, target: Tensor, second: Tensor, norm: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Levels relative to the top, the tops aimed at, and the powers of two to store."""
        search, quantizer = self.settings.search, self.quantizers[name]
        levels = Levels(quantizer.magnitudes)
        per_channel = quantizer.granularity == "channel"
        if not (norm and self.settings.norms and self.settings.real_scales):
            tops = powers_of_two(target, not per_channel, search)
            relative, top = choose_levels(target, second, levels, tops, not per_channel, search)
            return relative, top, top
        tops = real_tops(target, search)
        relative, top = choose_levels(target, second, levels, tops, False, search)
        octave = top.log2()
        if not per_channel:  # any will do, the norm has the factor
            octave = octave.mean().expand_as(octave)
        return relative, top, torch.ldexp(torch.ones_like(top), octave.round().int())

    def _calibrate(self, name: str, pairs: list[Any]) -> None:
        quantizer = self.layers[name].input_quantizer
        if quantizer is None or quantizer.is_calibrated:
            return
        quantizer.collect()
        for _, args in self._each_use(name, pairs):
            self.layers[name].quantized_input(args[0])
        quantizer.calibrate()

    def _norm(self, name: str, pairs: list[Any]) -> None:
        def of(pair: tuple[Any, Any]) -> tuple[ChannelSums, ChannelSums]:
            return channel_sums(pair[0][0]), channel_sums(pair[1][0])

        sums = list(_in_order(self.pool, of, self._each_use(name, pairs)))
        if sums:
            of_float, found = (_total(iter(side)) for side in zip(*sums, strict=True))
            norm = self.model.get_submodule(name)
            refit_norm(norm, of_float, found)  # type: ignore[arg-type]


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Any], T], items: Iterable[Any], ahead: int = 4
) -> Iterator[T]:
    """``map`` with few results at a time in memory."""
    function = torch.no_grad()(function)  # gradients are a matter of each thread
    waiting: list[Any] = []
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _total(parts: Iterator[Any]) -> Any:
    total = next(parts)
    for part in parts:
        total = total + part
    return total


def _count(weight: Tensor) -> dict[str, Any]:
    return dict(zeros=float((weight == 0).float().mean()), levels=len(weight.unique()))


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
    model.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.contiguous()


def _float_copy(model: nn.Module) -> nn.Module:
    twin = copy.deepcopy(model)
    twin.to(memory_format=torch.channels_last)
    for module in twin.modules():
        if isinstance(module, QuantLayer):
            module.set_input_quantizer(None)
    return twin
