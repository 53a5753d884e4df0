"""A module with other tensors in the place of its parameters."""

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def shadow(module: M, tensors: Mapping[str, Tensor | None]) -> M:
    """What computes like ``module``, but with ``tensors``; they share all else.

    The module stays as it is, so that other threads may compute with it meanwhile.

    Args:
        module: any.
        tensors: by dotted name, as ``named_parameters()`` has them.

    >>> layer = nn.Linear(2, 2)
    >>> twin = shadow(layer, dict(bias=None))
    >>> twin.bias is None and twin.weight is layer.weight and layer.bias is not None
    True
    """
    own = {name: tensor for name, tensor in tensors.items() if "." not in name}
    below: dict[str, dict[str, Tensor | None]] = {}
    for name in tensors.keys() - own.keys():
        child, _, rest = name.partition(".")
        below.setdefault(child, {})[rest] = tensors[name]
    twins = {child: shadow(module.get_submodule(child), rest) for child, rest in below.items()}
    twin: M = object.__new__(type(module))
    twin.__dict__.update(
        module.__dict__,
        _parameters={**module._parameters, **own},
        _modules={**module._modules, **twins},
    )
    return twin
