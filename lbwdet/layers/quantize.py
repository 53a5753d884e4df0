"""``quantize_``: turns the layers of any module into quantized ones, in place."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from torch import nn

from lbwdet.errors import ConfigError
from lbwdet.layers.build_input_quantizer import build_input_quantizer
from lbwdet.layers.identity_relu import match_relus
from lbwdet.layers.input_quantizer import InputQuantizer
from lbwdet.layers.quant_layer import QUANTIZER_OPTIONS, QuantLayer, quantized_class
from lbwdet.layers.quantizable import channel_axis, has_one_input, quantizable_layers
from lbwdet.layers.weight_readers import let_read_quantized, weight_readers
from lbwdet.quantizers import WeightQuantizer, build_quantizer

M = TypeVar("M", bound=nn.Module)


def quantized_layers(module: nn.Module) -> dict[str, QuantLayer]:
    """Every layer of the module that computes with quantized weights, by dotted name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, QuantLayer) and layer.quantizer is not None
    }


def unquantized_weights(module: nn.Module) -> dict[str, int]:
    """Weights of two and more dimensions that stay float: name and number of values."""
    quantized = {id(layer.weight) for layer in quantized_layers(module).values()}
    return {
        name: parameter.numel()
        for name, parameter in module.named_parameters()
        if parameter.dim() >= 2 and id(parameter) not in quantized
    }


def describe_quantization(module: nn.Module) -> dict[str, str]:
    """Each quantized layer's settings in words, for checkpoints and reports.

    >>> layer = quantize_(nn.Sequential(nn.Linear(2, 2)), weight=dict(bit_width=4))
    >>> describe_quantization(layer)
    {'0': '4bit paper exact tensor'}
    """
    return {name: _describe(layer) for name, layer in quantized_layers(module).items()}


def _describe(layer: QuantLayer) -> str:
    assert layer.quantizer is not None
    q, words = layer.quantizer, ""
    if layer.input_quantizer is not None:
        settings = layer.input_quantizer.settings
        words = f" input {settings.bit_width}bit, signed {settings.signed_bit_width}bit"
        if settings.granularity != "tensor":
            words += f" per {settings.granularity}"
    return f"{q.bit_width}bit {q.code} {q.solver} {q.granularity}{words}"


def described_settings(words: str) -> dict[str, Any]:
    """The weight settings that :func:`describe_quantization` put in words.

    Raises:
        ConfigError: they are no such words, or do not say all (of solver ``'threshold'``).

    >>> described_settings("4bit dense exact channel")
    {'bit_width': 4, 'code': 'dense', 'solver': 'exact', 'granularity': 'channel'}
    """
    found = re.match(r"(\d)bit (\S+) (\S+) (\S+)", words)
    if found is None or found[3] == "threshold":
        raise ConfigError(f"{words!r} does not say how a weight is projected")
    return dict(bit_width=int(found[1]), code=found[2], solver=found[3], granularity=found[4])


def quantize_(
    module: M,
    weight: Mapping[str, Any],
    activation: Mapping[str, Any] | None = None,
    keep_float: Sequence[str] = (),
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> M:
    """Makes convolution, linear and attention layers of ``module`` compute with low-bit weights.

    Only the class of a layer changes: parameters, buffers, hooks and state-dict
    keys stay as they are, so it may come before or after loading a checkpoint,
    building an optimizer or wrapping. Calling it again changes the settings.
    With the identity estimator ReLU modules change theirs, too:
    :class:`~lbwdet.layers.identity_relu.IdentityReLU`.

    With ``activation`` each of these layers also quantizes its input, and holds an
    :class:`~lbwdet.layers.InputQuantizer` as ``input_quantizer``, whose parameter the
    optimizer has to get, and which :func:`~lbwdet.layers.calibration` has to show
    some data. One with the same settings keeps its state when called again.

    Args:
        module: any module; changed in place.
        weight: arguments of :func:`lbwdet.quantizers.build_quantizer`, for example
            ``dict(bit_width=4, code='dense')``.
        activation: fields of :class:`lbwdet.quantizers.ActivationSettings`, for example
            ``dict(bit_width=8)``; None leaves activations float. ``nn.MultiheadAttention``
            keeps its float inputs.
        keep_float: glob patterns of dotted layer names that stay float
            (``'*'`` also matches dots: ``'layer1.*'``, ``'*fc_cls'``).
        overrides: glob pattern to settings that replace some of ``weight`` for the
            layers it matches, and with the key ``activation`` some of those (or all, by
            None); of several matching patterns, the later one wins.

    Returns:
        ``module`` itself.

    Raises:
        ConfigError: an unknown setting, a pattern that matches no layer, or
            nothing to quantize.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 1))
    >>> _ = quantize_(net, weight=dict(bit_width=6), overrides={"2": dict(bit_width=8)})
    >>> [layer.quantizer.bit_width for layer in quantized_layers(net).values()]
    [6, 8]
    """
    layers = dict(quantizable_layers(module))
    if not layers:
        raise ConfigError(f"{type(module).__name__} has no convolution or linear layer to quantize")
    keep_float = [keep_float] if isinstance(keep_float, str) else list(keep_float)
    overrides = overrides or {}
    _check_patterns(layers, [*keep_float, *overrides], type(module).__name__)
    kept = {name for name in layers if any(fnmatchcase(name, pattern) for pattern in keep_float)}
    if len(kept) == len(layers):
        raise ConfigError(
            f"keep_float={keep_float} leaves no layer of {type(module).__name__} to quantize"
        )
    readers = dict(weight_readers(module))
    read_above = {layer for read in readers.values() for layer in read}  # never called themselves
    quantizers: dict[str, WeightQuantizer | None] = dict.fromkeys(layers)
    inputs: dict[str, InputQuantizer | None] = dict.fromkeys(layers)
    for name in (name for name in layers if name not in kept):
        settings, input_settings = dict(weight), activation
        for pattern, changes in overrides.items():
            if fnmatchcase(name, pattern):
                settings.update(changes)
                if "activation" in changes:
                    change = settings.pop("activation")
                    if change is not None:
                        change = {**(input_settings or {}), **change}
                    input_settings = change
        quantizers[name] = _build(settings)
        called = has_one_input(layers[name]) and layers[name] not in read_above
        if input_settings is not None and called:
            inputs[name] = build_input_quantizer(layers[name], input_settings, name)
    for name, layer in layers.items():  # nothing is changed before everything was checked
        layer.__class__ = quantized_class(type(layer))
        assert isinstance(layer, QuantLayer)
        layer.quantizer = quantizers[name]
        old, new = layer.input_quantizer, inputs[name]
        if old is None or new is None or old.settings != new.settings:
            layer.set_input_quantizer(new and new.to(layer.weight.device))
        layer.layer_name = name
        layer.channel_axis = channel_axis(layer) or 0
        layer.forget_projection()
    for reader in readers:
        let_read_quantized(reader)
    match_relus(module, filter(None, inputs.values()))
    _forgo_fast_paths(module)
    return module


def _forgo_fast_paths(module: nn.Module) -> None:
    """Those that read a layer's weight past its ``forward``, in evaluation.

    torch's transformer hands the weights of its layers to one fused kernel; mmcv's
    ``ConvModule`` multiplies a convolution's with its batch norm.
    """
    for part in module.modules():
        if isinstance(part, nn.TransformerEncoderLayer):
            part.activation_relu_or_gelu = 0  # "neither of both": not for the fused kernel
        elif isinstance(part, nn.TransformerEncoder):
            part.use_nested_tensor = False
        elif hasattr(part, "efficient_conv_bn_eval_forward"):
            setattr(part, "efficient_conv_bn_eval_forward", None)  # noqa: B010


def _build(settings: Mapping[str, Any]) -> WeightQuantizer | None:
    unknown = set(settings) - {"bit_width", *QUANTIZER_OPTIONS}
    if unknown:
        raise ConfigError(
            f"unknown weight settings {sorted(unknown)}; "
            f"choose from bit_width, {', '.join(QUANTIZER_OPTIONS)}"
        )
    return build_quantizer(**settings)


def _check_patterns(layers: Mapping[str, nn.Module], patterns: Sequence[str], owner: str) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers):
            shown = ", ".join(list(layers)[:6]) + (", ..." if len(layers) > 6 else "")
            raise ConfigError(
                f"pattern {pattern!r} matches no layer of {owner}; its layers are {shown}"
            )
