"""Layers that compute with the quantized version of their weight."""

import contextlib
import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lbwdet.errors import ConfigError
from lbwdet.layers.build_input_quantizer import build_input_quantizer
from lbwdet.layers.channel_quantizer import ChannelInputQuantizer
from lbwdet.layers.input_quantizer import InputQuantizer
from lbwdet.layers.quantizable import weight_name
from lbwdet.layers.shadow import shadow
from lbwdet.layers.straight_through import StraightThrough
from lbwdet.quantizers import QuantizedWeight, WeightQuantizer, build_quantizer

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)
ProjectionKey = tuple[WeightQuantizer | None, float, int, int, int]


class QuantLayer(nn.Module):
    """Mixin for a module with a parameter ``weight``, which stays the float master weight.

    The forward pass uses the projection of ``weight``; the gradient goes straight
    through to ``weight``. Nothing is added to the state dict, unless the layer has an
    ``input_quantizer``, through which its input then goes. With neither
    quantizer the layer is its float base class, bit for bit.

    A frozen weight (``requires_grad=False``) is quantized in the forward pass like
    any other; it is just not trained.

    ``relax`` is the ``lambda`` of BinaryRelax (arXiv 1801.06313): while a weight is
    trained, its layer computes with ``(weight + lambda * Q(weight)) / (1 + lambda)``. At
    infinity, the default, with frozen weights and in eval mode it is ``Q(weight)`` itself.

    The projection is computed once per training step, however often the layer is
    called in it, and once in total while nothing changes (evaluation, frozen
    layers). It is recomputed after a gradient arrived, after ``train()``,
    ``eval()`` or ``to()``, and whenever autograd's version counter of the weight
    moved. Code that writes through ``weight.data`` in the midst of evaluation
    must call ``eval()`` to be seen.
    """

    weight: Tensor
    quantizer: WeightQuantizer | None = None
    relax: float = math.inf
    layer_name: str = ""
    channel_axis: int = 0
    _cache: tuple[ProjectionKey, Tensor] | None = None
    times_forgotten: int = 0

    @property
    def unit(self) -> Tensor | None:
        """What each entry of the weight counts in, float32, broadcastable to it; None: in ones.

        Where the input has a step for each channel, it is the weight *per step* that has levels:
        ``Q(weight * unit) / unit``. All units are powers of two.
        """
        quantizer = self._modules.get("input_quantizer")
        if not isinstance(quantizer, ChannelInputQuantizer) or not quantizer.is_calibrated:
            return None
        axes = [1] * (self.weight.dim() - 2)
        groups: int = self.groups  # type: ignore[assignment]
        units = quantizer.steps().reshape(groups, 1, -1, *axes)
        outputs = self.weight.shape[0] // groups
        return units.expand(-1, outputs, *units.shape[2:]).reshape(-1, *units.shape[2:])

    def in_units(self, weight: Tensor) -> Tensor:
        """A tensor of the weight's shape, per step of the input; exact."""
        unit = self.unit
        return weight if unit is None else weight * unit

    def in_ones(self, weight: Tensor) -> Tensor:
        """The inverse of :meth:`in_units`."""
        unit = self.unit
        return weight if unit is None else weight / unit

    def quantized_weight(self) -> QuantizedWeight:
        """The codes and the scale of the current weight, in :attr:`unit`.

        Raises:
            ValueError: the layer is in float mode.
            NonFiniteWeightError: the weight holds NaN or infinity.
        """
        if self.quantizer is None:
            raise ValueError(f"{self._name()}: the layer is float")
        return self.quantizer.quantize(self.in_units(self.weight), self._name(), self.channel_axis)

    def fake_quantized_weight(self) -> Tensor:
        """The weight that the forward pass uses, with the straight-through gradient."""
        if self.quantizer is None:
            return self.weight
        weight, cache = self.weight, self._cache
        key = self.projection_key(weight)
        if cache is None or cache[0] != key:
            # Not an inference tensor, even in inference mode: autograd may meet it later.
            with torch.inference_mode(False), torch.no_grad(), _untraced():
                projected = self.quantizer.fake_quantize(
                    self.in_units(weight), self._name(), self.channel_axis
                )
                cache = self.remember(key, self.blended(projected))
        quantized = cache[1]
        trained = torch.is_grad_enabled() and weight.requires_grad
        if not trained or torch._C._get_tracing_state() is not None:
            return quantized.detach() if quantized.requires_grad else quantized
        if not quantized.requires_grad:
            view = quantized.view_as(quantized)  # the gradient is of this use of it alone
            (quantized,) = StraightThrough.apply([self], [view], weight)
        return quantized

    def projection_key(self, weight: Tensor) -> ProjectionKey:
        """All that the forward pass's weight depends on; ``weight`` is the layer's."""
        relax = self.relax if self.training and weight.requires_grad else math.inf
        inputs, version = self._modules.get("input_quantizer"), 0
        if isinstance(inputs, ChannelInputQuantizer):
            version = inputs.exponents._version
        return self.quantizer, relax, weight.data_ptr(), weight._version, version

    def remembers(self, key: ProjectionKey) -> bool:
        """Whether it has the projection of the weight that ``key`` is of."""
        return self._cache is not None and self._cache[0] == key

    def remember(self, key: ProjectionKey, quantized: Tensor) -> tuple[ProjectionKey, Tensor]:
        """Takes ``quantized`` for the forward passes that come, as long as its key holds."""
        self.__dict__["_cache"] = cache = key, quantized  # past __setattr__: each step does so
        return cache

    def blended(self, projected: Tensor) -> Tensor:
        """The forward pass's weight, of its projection in :attr:`unit`."""
        quantized = self.in_ones(projected).to(self.weight.dtype)
        if self.relax < math.inf and self.training and self.weight.requires_grad:
            quantized = torch.lerp(self.weight, quantized, self.relax / (1 + self.relax))
        return quantized

    @property
    def input_quantizer(self) -> InputQuantizer | None:
        """What quantizes the layer's input; None for float activations."""
        return self._modules.get("input_quantizer")  # type: ignore[return-value]

    def set_input_quantizer(self, quantizer: InputQuantizer | None) -> None:
        if quantizer is None:
            self._modules.pop("input_quantizer", None)
        else:
            self._modules["input_quantizer"] = quantizer

    def quantized_input(self, input: T) -> T:
        """The input that the forward pass uses: a tensor, or a list of them."""
        quantizer = self.input_quantizer
        if quantizer is None:
            return input
        if isinstance(input, list | tuple):
            return cast(T, [quantizer(each) for each in input])
        return cast(T, quantizer(input))

    def _name(self) -> str:
        return self.layer_name or str(self)  # a layer built by itself does not know its name

    def forget_projection(self) -> None:
        self.__dict__["_cache"] = None
        self.__dict__["times_forgotten"] = self.times_forgotten + 1

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuses another weight, as of a convolution that a batch norm is multiplied into.

        The product would lie on no grid, and be rounded once more, to another one.
        """
        replaced = isinstance(value, nn.Parameter) and self.quantizer is not None
        if (
            replaced
            and value is not self._parameters.get(name, value)
            and name == weight_name(self)
        ):
            raise ConfigError(
                f"{self._name()}: the weight of a quantized layer cannot be replaced by another "
                "(fuse_conv_bn?): the product with a batch norm is not low-bit; run the model "
                "unfused, export it (lbwdet export fuses exactly), or change values in place"
            )
        super().__setattr__(name, value)

    def train(self, mode: bool = True) -> "QuantLayer":
        self.forget_projection()
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> "QuantLayer":
        self.forget_projection()
        super()._apply(*args, **kwargs)
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A class that was made here is pickled as its base class: its name is nowhere to find."""
        base = _BASES.get(type(self))
        if base is None:
            return super().__reduce_ex__(protocol)
        return _new_layer, (base,), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:  # copies and pickles carry no cache
        left_out = ("_cache", "times_forgotten")
        return {key: value for key, value in self.__dict__.items() if key not in left_out}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, quantizer={self.quantizer}"


@contextlib.contextmanager
def _untraced() -> Iterator[None]:
    """``torch.jit.trace``, which counters of FLOPs use, takes what is computed here for a constant.

    It has no operation for reading a float's bits.
    """
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]


QUANTIZER_OPTIONS = ("code", "solver", "granularity", "mu")


class _Configurable(QuantLayer):
    """Mixin: the constructor takes the quantizers' settings as keywords."""

    def __init__(
        self,
        *args: Any,
        bit_width: int = 6,
        activation: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        options = {key: kwargs.pop(key) for key in QUANTIZER_OPTIONS if key in kwargs}
        super().__init__(*args, **kwargs)
        self.quantizer = build_quantizer(bit_width, **options)
        if activation is not None:
            self.set_input_quantizer(build_input_quantizer(self, activation))


class QuantConv2d(_Configurable, nn.Conv2d):
    """``nn.Conv2d`` with a low-bit weight.

    Takes the arguments of ``nn.Conv2d``, and as keywords those of
    :func:`lbwdet.quantizers.build_quantizer` (``bit_width``, ``code``, ``solver``,
    ``granularity``, ...) and ``activation``, the fields of
    :class:`lbwdet.quantizers.ActivationSettings`.
    """

    def forward(self, input: Tensor) -> Tensor:
        input, weight = self.quantized_input(input), self.fake_quantized_weight()
        output: Tensor = self._conv_forward(input, weight, self.bias)
        return output


class QuantLinear(_Configurable, nn.Linear):
    """``nn.Linear`` with a low-bit weight; arguments as of :class:`QuantConv2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(self.quantized_input(input), self.fake_quantized_weight(), self.bias)


class SwapWeight(QuantLayer):
    """Mixin for any other module whose ``forward`` reads ``self.weight``.

    The base class's own ``forward`` runs on a shadow of the layer that has the quantized
    tensor in the parameter's place, so that subclasses of ``nn.Conv2d`` with special
    behaviour keep it.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.input_quantizer is not None:  # the input is the first argument
            if not args:
                first = next(iter(inspect.signature(super().forward).parameters))
                args = (kwargs.pop(first),)
            args = (self.quantized_input(args[0]), *args[1:])
        return super(SwapWeight, with_quantized(self, *self._read())).forward(*args, **kwargs)

    def _read(self) -> tuple[str, ...]:
        """Names of the layers whose weights ``forward`` reads; ``''`` for its own."""
        return ("",)


class SwapAttention(SwapWeight):
    """Mixin for ``nn.MultiheadAttention``, which computes with the weight of ``out_proj`` itself.

    Its own ``weight`` is the stacked projection of queries, keys and values.
    """

    in_proj_weight: Tensor

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        return self.in_proj_weight

    def _read(self) -> tuple[str, ...]:
        return "", "out_proj"


def with_quantized(module: M, *names: str) -> M:
    """A shadow of the module with quantized tensors in it, or itself if all are float.

    Args:
        module: stays as it is, for other threads may be in its ``forward``.
        names: of layers in it, or ``''`` for itself.
    """
    tensors: dict[str, Tensor | None] = {}
    for name in names:
        layer = module.get_submodule(name)
        if isinstance(layer, QuantLayer) and layer.quantizer is not None:
            key = weight_name(layer)
            tensors[f"{name}.{key}" if name else key] = layer.fake_quantized_weight()
    return shadow(module, tensors) if tensors else module


_CLASSES: dict[type[nn.Module], type[QuantLayer]] = {
    nn.Conv2d: QuantConv2d,
    nn.Linear: QuantLinear,
}
_BASES: dict[type, type[nn.Module]] = {}  # of the classes that quantized_class has made


def _new_layer(base: type[nn.Module]) -> QuantLayer:
    """An instance without state, which a pickle then fills."""
    kind = quantized_class(base)
    return kind.__new__(kind)


def quantized_class(base: type[nn.Module]) -> type[QuantLayer]:
    """The quantized subclass of a module class: one and the same for each base class."""
    if issubclass(base, QuantLayer):
        return base
    if base not in _CLASSES:
        mixin = SwapAttention if issubclass(base, nn.MultiheadAttention) else SwapWeight
        # MMEngine initialises a layer by its class's name or those of its direct bases:
        # with the bases of `base` among them, the quantized class is found like `base`.
        bases: tuple[type, ...] = (mixin, base, *base.__bases__)
        _CLASSES[base] = type(f"Quant{base.__name__}", bases, {})
        _BASES[_CLASSES[base]] = base
    return _CLASSES[base]
