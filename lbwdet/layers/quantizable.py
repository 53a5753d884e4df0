"""Which layers can compute with quantized weights, and where their output channels lie."""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

# Classes outside torch go by name: naming them must not import the packages they are in.
_CHANNEL_AXES: dict[type[nn.Module] | str, int] = {
    nn.Conv1d: 0,
    nn.Conv2d: 0,
    nn.Conv3d: 0,
    nn.ConvTranspose1d: 1,
    nn.ConvTranspose2d: 1,
    nn.ConvTranspose3d: 1,
    nn.Linear: 0,
    nn.MultiheadAttention: 0,
    "mmcv.ops.deform_conv.DeformConv2d": 0,
    "mmcv.ops.modulated_deform_conv.ModulatedDeformConv2d": 0,
    "mmdet.models.backbones.trident_resnet.TridentConv": 0,
}


def register_quantizable(kind: type[nn.Module] | str, channel_axis: int = 0) -> None:
    """Lets :func:`lbwdet.layers.quantize_` quantize one more class of layers.

    Args:
        kind: the class, or ``'package.module.Class'``; its subclasses are meant, too. It
            keeps its own ``forward``, which has to read the parameter as ``self.weight``.
        channel_axis: axis of the output channels of ``weight``.
    """
    _CHANNEL_AXES[kind] = channel_axis


def channel_axis(layer: nn.Module) -> int | None:
    """Axis of the output channels of the layer's weight; None for a class not registered."""
    for kind in type(layer).__mro__:
        for key in (kind, f"{kind.__module__}.{kind.__qualname__}"):
            if key in _CHANNEL_AXES:
                return _CHANNEL_AXES[key]
    return None


def weight_name(layer: nn.Module) -> str:
    """Name of the parameter that is quantized."""
    return "in_proj_weight" if isinstance(layer, nn.MultiheadAttention) else "weight"


def has_one_input(layer: nn.Module) -> bool:
    """Whether the first argument of ``forward`` is all that the weight is multiplied with.

    It is not in attention, which reads queries, keys and values, and has its ``out_proj``
    called past its ``forward``.
    """
    return not isinstance(layer, nn.MultiheadAttention | NonDynamicallyQuantizableLinear)


def _is_quantizable(layer: nn.Module) -> bool:
    # Under weight norm and other parametrizations `weight` is no parameter.
    is_parameter = layer._parameters.get(weight_name(layer)) is not None
    return is_parameter and channel_axis(layer) is not None


def quantizable_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every layer that ``quantize_`` can handle, with its dotted name.

    ``nn.MultiheadAttention`` counts as two: itself, that is the stacked projection of
    queries, keys and values, and its ``out_proj``. One whose keys or values are of
    another size than its queries, and has three matrices therefore, stays float.
    """
    # `out_proj` is read past its forward(): only the attention around it can quantize it.
    swapped = {
        layer.out_proj
        for layer in module.modules()
        if isinstance(layer, nn.MultiheadAttention) and _is_quantizable(layer)
    }
    for name, layer in module.named_modules():
        if isinstance(layer, NonDynamicallyQuantizableLinear) and layer not in swapped:
            continue
        if _is_quantizable(layer):
            yield name, layer
