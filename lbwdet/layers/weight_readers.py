"""Modules that compute with the weight of a layer below them, past that layer's ``forward``."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from lbwdet.layers.quant_layer import with_quantized

# By name: naming a class must not import the package it is in.
_READERS: dict[str, tuple[str, ...]] = {
    "mmdet.models.dense_heads.tood_head.TaskDecomposition": ("reduction_conv.conv",),
}
_CLASSES: dict[type[nn.Module], type["WeightReader"]] = {}


def register_weight_reader(kind: str, *layers: str) -> None:
    """Lets :func:`lbwdet.layers.quantize_` quantize layers whose weight a module above reads.

    Args:
        kind: ``'package.module.Class'`` of the module that reads; its subclasses are meant, too.
        layers: names of the layers within it.
    """
    _READERS[kind] = layers


class WeightReader(nn.Module):
    """Mixin: ``forward`` runs with quantized tensors in the place of the weights it reads."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        twin = with_quantized(self, *_names_read_by(self))
        return super(WeightReader, twin).forward(*args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:  # pickled as its base class, found by name
        base = type(self).__mro__[2]
        return _new_reader, (base,), self.__dict__.copy()


def _new_reader(base: type[nn.Module]) -> WeightReader:
    """An instance without state, which a pickle then fills."""
    kind = _reader_class(base)
    return kind.__new__(kind)


def _reader_class(base: type[nn.Module]) -> type[WeightReader]:
    if base not in _CLASSES:
        _CLASSES[base] = type(f"Quant{base.__name__}", (WeightReader, base), {})
    return _CLASSES[base]


def weight_readers(module: nn.Module) -> Iterator[tuple[nn.Module, list[nn.Module]]]:
    """Each such module within ``module``, itself included, and the layers it reads."""
    for part in module.modules():
        if names := _names_read_by(part):
            yield part, [part.get_submodule(name) for name in names]


def let_read_quantized(reader: nn.Module) -> None:
    """Changes the class of ``reader`` to one with :class:`WeightReader`, once."""
    base = type(reader)
    if not issubclass(base, WeightReader):
        reader.__class__ = _reader_class(base)


def _names_read_by(part: nn.Module) -> tuple[str, ...]:
    for kind in type(part).__mro__:
        names = _READERS.get(f"{kind.__module__}.{kind.__qualname__}")
        if names:
            return names
    return ()
